"""Periodic work of an agent server, which continues after failures."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.stdlib.get_logger(__name__)


async def repeat(
    what: str,
    once: Callable[[], Awaitable[None]],
    *,
    pause: float,
    pause_after_failure: float,
) -> None:
    """Repeat `once` until cancelled, with pauses in seconds; `what` is its name in the log.

    An unexpected error is logged and costs one round: the end of a loop would end the agent server
    with all its calls.
    """
    while True:
        try:
            await once()
        except Exception:
            log.exception("round_failed", what=what)
            await asyncio.sleep(pause_after_failure)
        else:
            await asyncio.sleep(pause)
