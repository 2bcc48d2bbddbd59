"""The health checks of processes that have no page of their own: what counts, and what does not."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.server.health import heard_lately
from domain.agents.servers import AgentServer


def server(server_id: str, seconds_ago: float) -> AgentServer:
    """An agent server as the API lists it."""
    return AgentServer(
        server_id=server_id,
        agent_name="local-test",
        max_jobs=10,
        draining=False,
        jobs=[],
        last_heartbeat=datetime.now(UTC) - timedelta(seconds=seconds_ago),
    )


def test_an_agent_is_well_while_its_own_host_is_heard() -> None:
    now = datetime.now(UTC)
    assert heard_lately([server("here:7:abc", 4)], "here", now)
    assert not heard_lately([server("there:7:abc", 0)], "here", now)
    assert not heard_lately([server("here:7:abc", 60)], "here", now)
    assert not heard_lately([], "here", now)


@pytest.mark.parametrize(
    ("module", "given", "said"),
    [
        ("worker.health", {"TEMPORAL_ADDRESS": "127.0.0.1:9"}, "Temporal does not answer"),
        ("worker.health", {"LIVEKIT_API_SECRET": ""}, "LIVEKIT_API_SECRET is not set"),
        ("agent.server.health", {"EVERLINE_CALLBACK_URL": "http://127.0.0.1:9"}, "does not answer"),
        ("agent.server.health", {}, "EVERLINE_CALLBACK_URL is not set"),
    ],
)
async def test_what_is_wrong_is_said(
    tmp_path: Path, module: str, given: dict[str, str], said: str
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "LIVEKIT_URL": "ws://127.0.0.1:9",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "secret",
        **given,
    }
    command = [sys.executable, "-m", module]
    answer = await asyncio.to_thread(
        subprocess.run,
        command,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert said in answer.stderr
