"""The slots of each kind: an org's share of them, and how many are in use, for the log."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.shares import OrgShares
from adapters.settings import WorkerSettings
from domain.task_queues import TaskKind

log = structlog.get_logger()

LOG_SECONDS = 60.0
"""How often the use of slots is logged, if there is any."""
RELIEVED = 0.8
"""Share of the slots in use below which a kind counts as full no longer."""


def shares_of(settings: WorkerSettings, kind: TaskKind) -> OrgShares:
    """Keeps an org from taking all slots of a kind."""
    return OrgShares(settings.slots[kind], settings.everline_org_slot_share)


class SlotUse(Interceptor):
    """Worker interceptor that counts the activities of one worker while they run."""

    def __init__(self, kind: TaskKind, slots: int) -> None:
        self.kind = kind
        self.slots = slots
        self.used = 0
        self._full = False

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Count around the chain of one activity."""
        return _Counted(next, self)

    def begin(self) -> None:
        """Count a slot, and warn when none is left."""
        self.used += 1
        if self.used >= self.slots and not self._full:
            self._full = True
            log.warning(
                "all slots are in use: further steps wait", kind=self.kind, slots=self.slots
            )

    def end(self) -> None:
        """Count a slot that is free again."""
        self.used -= 1
        if self._full and self.used < RELIEVED * self.slots:
            self._full = False
            log.info("slots are free again", kind=self.kind, used=self.used, slots=self.slots)


class _Counted(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, use: SlotUse) -> None:
        super().__init__(next)
        self._use = use

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        if activity.info().is_local:  # it takes none of these slots
            return await super().execute_activity(input)
        self._use.begin()
        try:
            return await super().execute_activity(input)
        finally:
            self._use.end()


@asynccontextmanager
async def logging_slots(uses: Sequence[SlotUse]) -> AsyncGenerator[None]:
    """During the block, log the use of slots every minute."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(LOG_SECONDS)
            used = {str(use.kind): f"{use.used} of {use.slots}" for use in uses if use.used}
            if used:
                log.info("slots in use", **used)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
