"""What is logged of a failed workflow task: inside the sandbox, where little can be imported."""

import asyncio
import json
import sys
from pathlib import Path

from tests.servers import TemporalServer

ROOT = Path(__file__).parents[2]


async def log_of_a_failed_task(server: TemporalServer, mode: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.adapters.temporal.failing_worker", server.address, mode),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    return log.decode()


async def test_in_production_the_exception_is_in_the_json(temporal_server: TemporalServer) -> None:
    log = await log_of_a_failed_task(temporal_server, "production")

    # Temporal's core writes some lines of its own.
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    failed = [event for event in events if event["event"].startswith("Failed activation")]
    assert failed, log
    assert "ValueError: an odd value" in failed[0]["exception"]
    assert "Logging error" not in log


async def test_in_development_it_can_be_read(temporal_server: TemporalServer) -> None:
    log = await log_of_a_failed_task(temporal_server, "development")

    assert "ValueError: an odd value" in log
    assert "Logging error" not in log
