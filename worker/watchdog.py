"""What one of all workers looks after: silent agent servers, and rooms without sessions."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from domain.agents.ports import Lease
from domain.errors import Unavailable
from services.agents.watchdog import Watchdog
from services.sessions.reaper import Reaper

log = structlog.get_logger()

LOOK_SECONDS = 1.0
ROOMS_SECONDS = 10.0
"""How often rooms and sessions are compared: a lost webhook shows by then."""
STILL_AWAY_SECONDS = 60.0
"""How often what is away is named again."""


class Watch:
    """Looks while this process holds the lease."""

    def __init__(self, lease: Lease, watchdog: Watchdog, reaper: Reaper) -> None:
        self._lease = lease
        self._watchdog = watchdog
        self._reaper = reaper
        self._holds = False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Watch for the block."""
        tasks = [
            asyncio.create_task(_repeat("agent servers", LOOK_SECONDS, self._look_at_servers)),
            asyncio.create_task(_repeat("rooms", ROOMS_SECONDS, self._compare_rooms)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_at_servers(self) -> None:
        held, self._holds = self._holds, False
        self._holds = await self._lease.hold()
        if self._holds:
            if not held:
                log.info("this worker watches the agent servers")
            await self._watchdog.look()

    async def _compare_rooms(self) -> None:
        if self._holds:
            await self._reaper.compare_rooms()


async def _repeat(what: str, seconds: float, look: Callable[[], Awaitable[None]]) -> None:
    """Look again and again, whatever is away, until cancelled."""
    loop = asyncio.get_running_loop()
    named_at: float | None = None
    while True:
        try:
            await look()
        except Unavailable as error:
            if named_at is None or loop.time() - named_at >= STILL_AWAY_SECONDS:
                log.warning("the watchdog is blind", watches=what, reason=error.message)
                named_at = loop.time()
        except Exception:
            # A fault of ours in one look must not blind the watch for good.
            log.exception("the watchdog failed", watches=what)
        else:
            if named_at is not None:
                log.info("the watchdog sees again", watches=what)
            named_at = None
        await asyncio.sleep(seconds)
