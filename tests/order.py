"""`make test`: which process of the run takes which file, and in what order.

Calls through a whole stack happen in real time and mostly wait. One process makes them, one after
the other, so that at most one such stack competes with the other tests for the machine. Who has no
more files of its own kind takes those of the other kind.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

STACK = ("tests/chaos/", "tests/e2e/")
"""Folders whose tests share the stack `rig`."""
LONG = (
    "tests/chaos/test_dead_agents.py",
    "tests/chaos/test_outages_are_no_deaths.py",
    "tests/chaos/test_killed_stack.py",
    "tests/e2e/test_without_webhooks.py",
    "tests/workflows/",
    "tests/agent/engines/realtime/test_live_calls.py",
    "tests/agent/call/test_live_call.py",
    "tests/agent/engines/realtime/test_silent_providers.py",
    "tests/agent/engines/providers/",
    "tests/agent/spool/",
    "tests/contract/test_fuzzing.py",
    "tests/deploy/",
    "tests/services/webhooks/test_deliveries.py",
    "tests/api/sessions/",
    "tests/stack/",
)
"""Begun first, so that no process is left with one of them when the others have finished."""


class StackBesideTheOthers(LoadFileScheduling):
    """Deals out files: those of the stack to the first process, all others to the rest."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        wants_stack = node is self.nodes[0]
        file = min(self.workqueue, key=lambda file: (_on_stack(file) != wants_stack, _rank(file)))
        self.workqueue.move_to_end(file, last=False)
        super()._assign_work_unit(node)


def _on_stack(file: str) -> bool:
    return file.startswith(STACK)


def _rank(file: str) -> int:
    return next((at for at, long in enumerate(LONG) if file.startswith(long)), len(LONG))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Deal out the tests of `--dist loadfile`."""
    return StackBesideTheOthers(config, log) if config.option.dist == "loadfile" else None
