"""`make test`: which process of the run takes which file, and in what order.

Calls happen in real time and mostly wait. The first process takes the files on the shared stack
(`rig`), one after the other, so that there is one such stack; the second one takes the other calls.
Meanwhile the rest keeps the processor busy, and gives way to the calls. A process that has no more
files of its own kind takes those of the others.
"""

import os

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

CALLS = (
    "tests/docs/test_blocks.py",
    "tests/agent/call/test_live_call.py",
    "tests/agent/engines/providers/test_whole_calls.py",
    "tests/chaos/test_lost_lists.py",
    "tests/agent/engines/realtime/",
    "tests/agent/engines/providers/",
    "tests/deploy/test_processes.py",
    "tests/agent/tools/test_whole_calls.py",
    "tests/agent/call/",
)
"""Calls on stacks and agents of their own."""
STACK = (
    "tests/chaos/test_dead_agents.py",
    "tests/chaos/test_outages_are_no_deaths.py",
    "tests/chaos/test_killed_stack.py",
    "tests/e2e/test_without_webhooks.py",
    "tests/chaos/",
    "tests/e2e/",
)
REST = (
    "tests/contract/test_fuzzing.py",
    "tests/workflows/",
    "tests/stack/",
    "tests/api/",
    "tests/cli/",
    "tests/services/webhooks/test_deliveries.py",
    "tests/adapters/",
    "tests/agent/spool/",
    "tests/deploy/",
)
"""Begun before those that are not named here, so that none of them is the last one that runs."""
GIVES_WAY = 2
"""How much, as in `nice`."""


def pytest_configure() -> None:
    """Let calls have the processor first."""
    if _place(os.environ.get("PYTEST_XDIST_WORKER", "gw0")) > 1:
        os.nice(GIVES_WAY)


class CallsBesideTheOthers(LoadFileScheduling):
    """Deals out files by their kind."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        own = min(_place(node.gateway.id), 2)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        file = min(self.workqueue, key=lambda file: _turn(file, own))
        self.workqueue.move_to_end(file, last=False)
        super()._assign_work_unit(node)


def _turn(file: str, own: int) -> tuple[bool, bool, int]:
    """Sorts the files for a process: its own kind first, and a second shared stack last."""
    kind, begins = next(
        (kind, begins)
        for kind, begins in ((1, CALLS), (0, STACK), (2, (*REST, "")))
        if file.startswith(begins)
    )
    rank = next(at for at, begin in enumerate(begins) if file.startswith(begin))
    return kind != own, kind == 0, rank


def _place(worker: str) -> int:
    """Number of a process: `gw2` is the third one."""
    return int(worker.removeprefix("gw"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Deal out the tests of `--dist loadfile`."""
    return CallsBesideTheOthers(config, log) if config.option.dist == "loadfile" else None
