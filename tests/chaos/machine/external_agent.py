"""An external agent beside the stack's own agent server."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from stack.supervision.health import NotHealthyError
from tests.chaos.machine.callers import EXTERNAL
from tests.harness.rig import Rig
from tests.servers import ServerProcess


@asynccontextmanager
async def external_agent(rig: Rig, folder: Path) -> AsyncGenerator[None]:
    """A plain LiveKit agent under a name of its own for the block."""
    keys, urls = rig.stack.credentials, rig.stack.urls
    environment = {
        "PYTHONPATH": str(Path.cwd()),
        "PLAIN_AGENT_NAME": EXTERNAL,
        "LIVEKIT_URL": str(urls.livekit),
        "LIVEKIT_API_KEY": keys.livekit_api_key,
        "LIVEKIT_API_SECRET": keys.livekit_api_secret,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{rig.stack.ports.models}/v1",
        "OPENAI_API_KEY": "none",
    }
    log = folder / "external-agent.log"
    log.touch()

    async def registered(since: float) -> None:
        if "registered worker" not in log.read_text():
            raise NotHealthyError("the external agent has not registered")

    process = ServerProcess(
        command=[
            *("env", *(f"{name}={value}" for name, value in environment.items())),
            *(sys.executable, "-m", "tests.fakes.plain_agent", "start"),
        ],
        check=registered,
        log=log,
    )
    try:
        await process.start()
        yield
    finally:
        process.stop()
