"""One sweep of the reaper."""

import structlog
from temporalio import activity

from services.sessions.reaper import Reaper, Swept

log = structlog.get_logger()


__all__ = ["ReapingActivities", "Swept"]


class ReapingActivities:
    """The reaper inside a schedule: one run after the other, never two at once."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper

    @activity.defn
    async def sweep(self) -> Swept:
        """Compare LiveKit and the archive with the open sessions, and close what is left over."""
        swept = await self._reaper.sweep()
        # The reaper itself logs a refused room, once.
        if swept.model_copy(update={"rooms_refused": 0}) != Swept():
            log.warning("the reaper closed something", **swept.model_dump())
        return swept
