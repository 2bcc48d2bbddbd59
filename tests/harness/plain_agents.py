"""Agents of somebody else in a running stack: plain LiveKit agents under the stack's agent name."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from stack.supervision.health import Check, NotHealthyError
from tests.harness.rig import Rig
from tests.servers import ServerProcess


@asynccontextmanager
async def plain_agents(
    rig: Rig, folder: Path, command: list[str] | None = None
) -> AsyncGenerator[ServerProcess]:
    """Plain agents instead of Everline's, for the block; registered when it begins.

    `command` starts others than those of `tests.fakes.plain_agent`.
    """
    keys, urls = rig.stack.credentials, rig.stack.urls
    assert urls.livekit is not None
    environment = {
        "LIVEKIT_URL": urls.livekit,
        "LIVEKIT_API_KEY": keys.livekit_api_key,
        "LIVEKIT_API_SECRET": keys.livekit_api_secret,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{rig.stack.ports.models}/v1",
        "OPENAI_API_KEY": "none",
    }
    words = [f"{name}={value}" for name, value in environment.items()]
    log = folder / "plain-agent.log"
    log.touch()
    module = ["-m", "tests.fakes.plain_agent", "start"]
    # From here, not from the log's folder, it finds its module.
    ours = ["env", f"PYTHONPATH={Path.cwd()}", *words, sys.executable, *module]
    process = ServerProcess(
        command=command or ours,
        check=_registered(log),
        log=log,
    )
    await rig.stack.stop_part("agent")
    try:
        await process.start()
        yield process
    finally:
        process.stop()
        await rig.start_agent()


def _registered(log: Path) -> Check:
    async def check(since: float) -> None:
        if "registered worker" not in await asyncio.to_thread(log.read_text):
            raise NotHealthyError("the plain agent has not registered")

    return check
