"""A part of a stack with other settings for a while, and with a log of its own."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from stack.supervision.health import Check, NotHealthyError, http_ok
from tests.harness.rig import Rig
from tests.servers import ServerProcess

MODULES = {"api": "api.main", "worker": "worker.main"}
STARTED = "worker started"


class CapturedLog:
    """What one process has logged, as JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self, name: str, **wanted: Any) -> list[dict[str, Any]]:
        """The log entries of one event whose fields have these values."""
        lines = (line for line in self.path.read_text().splitlines() if line.startswith("{"))
        entries = [json.loads(line) for line in lines]
        return [
            entry
            for entry in entries
            if entry["event"] == name
            and all(entry.get(field) == value for field, value in wanted.items())
        ]


@asynccontextmanager
async def replaced(
    rig: Rig, part: str, folder: Path, **changed: str
) -> AsyncGenerator[CapturedLog]:
    """The part with these variables as well for the block, in place of the stack's own."""
    pid = rig.stack.process(part).pid
    assert pid is not None
    settings = psutil.Process(pid).environ() | {"NODE_ENV": "production"} | changed
    health = f"http://127.0.0.1:{rig.stack.ports.api}/health"
    await rig.stack.stop_part(part)
    log = CapturedLog(folder / f"{part}.log")
    server = ServerProcess(
        command=[
            *("env", "-i", *(f"{name}={value}" for name, value in settings.items())),
            *(sys.executable, "-m", MODULES[part]),
        ],
        check=http_ok(health) if part == "api" else _logged(log, STARTED),
        log=log.path,
    )
    try:
        await server.start()
        yield log
    finally:
        server.stop()
        await rig.stack.start_part(part)


def _logged(log: CapturedLog, event: str) -> Check:
    async def check(since: float) -> None:
        if not log.events(event):
            raise NotHealthyError(f"not seen in the log: {event}")

    return check
