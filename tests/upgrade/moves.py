"""Parts of a stack that move to this release while it runs, and back."""

import sys
import time
from pathlib import Path

import psutil

from stack.layout.parts import TASK_QUEUE
from stack.layout.temporal_setup import NAMESPACE
from stack.supervision.health import Check, agent_listed, http_ok, worker_polls
from tests.harness.rig import Rig
from tests.servers import ServerProcess

MODULES = {"api": "api.main", "worker": "worker.main", "agent": "agent.server.main"}
"""What can move, with what each process runs."""
GRACE_SECONDS = 30.0
"""What the stack gives these processes to end."""


class Moves:
    """Which parts of a stack run this release instead of the stack's own."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig = rig
        self.folder = folder
        self.moved: dict[str, ServerProcess] = {}

    async def there(self, part: str) -> None:
        """This release's process in place of the stack's own.

        An agent server begins before the other one ends, as the guide says, so that lost agents are
        replaced at once.
        """
        pid = self.rig.stack.process(part).pid
        assert pid is not None
        environment = psutil.Process(pid).environ()
        if part != "agent":
            await self.rig.stack.stop_part(part)
        self.moved[part] = ServerProcess(
            command=[
                *("env", "-i", *(f"{name}={value}" for name, value in environment.items())),
                *(sys.executable, "-m", MODULES[part]),
            ],
            check=self._check(part),
            log=self.folder / f"new-{part}.log",
            grace=GRACE_SECONDS,
        )
        await self.moved[part].start()
        if part == "agent":
            process = self.moved[part].process
            assert process is not None
            await self.rig.until_heard(process.pid)
            await self.rig.stack.stop_part(part)

    async def back(self, part: str) -> None:
        """The stack's own process again."""
        if part == "agent":
            await self.rig.start_agent()
        self.moved.pop(part).stop()
        if part != "agent":
            await self.rig.stack.start_part(part)

    def stop(self) -> None:
        """Stop what still runs of this release."""
        for process in self.moved.values():
            process.stop()

    def _check(self, part: str) -> Check:
        since, ports = time.time(), self.rig.stack.ports
        api, temporal = f"http://127.0.0.1:{ports.api}", f"127.0.0.1:{ports.temporal}"
        checks: dict[str, Check] = {
            "api": http_ok(f"{api}/health"),
            "worker": worker_polls(temporal, NAMESPACE, TASK_QUEUE),
            "agent": agent_listed(api),
        }

        async def check(_: float) -> None:
            await checks[part](since)

        return check
