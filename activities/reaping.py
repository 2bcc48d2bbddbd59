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
        found = swept.model_dump(exclude={"rooms_refused", "not_done"})
        # The reaper itself logs a refused room, once.
        if any(found.values()):
            log.warning("the reaper closed something", **found)
        if swept.not_done:
            log.warning("the reaper could not check everything", not_done=swept.not_done)
        return swept
