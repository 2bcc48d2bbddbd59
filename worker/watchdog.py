"""Checks by one of all workers: silent agent servers, and rooms without sessions."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from domain.agents.ports import Lease
from domain.errors import Unavailable
from services.agents.watchdog import Watchdog
from services.sessions.reaper import Reaper

log = structlog.get_logger()

SERVERS_SECONDS = 1.0
ROOMS_SECONDS = 10.0
"""How often rooms and sessions are compared, in case a webhook was lost."""
REPEAT_WARNING_SECONDS = 60.0


@asynccontextmanager
async def watching(lease: Lease, watchdog: Watchdog, reaper: Reaper) -> AsyncGenerator[None]:
    """During the block, check agent servers and rooms while this process holds the lease."""
    holds = False

    async def check_servers() -> None:
        nonlocal holds
        held, holds = holds, False
        holds = await lease.hold()
        if holds:
            if not held:
                log.info("this worker watches the agent servers")
            await watchdog.look()

    async def compare_rooms() -> None:
        if holds:
            await reaper.compare_rooms()

    tasks = [
        asyncio.create_task(_repeat("agent servers", SERVERS_SECONDS, check_servers)),
        asyncio.create_task(_repeat("rooms", ROOMS_SECONDS, compare_rooms)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(what: str, seconds: float, check: Callable[[], Awaitable[None]]) -> None:
    """Repeat a check until cancelled, whatever fails."""
    loop = asyncio.get_running_loop()
    warned_at: float | None = None
    while True:
        try:
            await check()
        except Unavailable as error:
            if warned_at is None or loop.time() - warned_at >= REPEAT_WARNING_SECONDS:
                log.warning("watchdog check impossible", checks=what, reason=error.message)
                warned_at = loop.time()
        except Exception:
            # A bug in one check must not end all later ones.
            log.exception("watchdog check failed", checks=what)
        else:
            if warned_at is not None:
                log.info("watchdog check possible again", checks=what)
            warned_at = None
        await asyncio.sleep(seconds)
