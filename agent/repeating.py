"""Work that an agent server or a job does again and again, whatever goes wrong in between."""

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
    """Do it again and again until cancelled.

    A fault that nobody foresaw is logged and costs one round: the end of one of these loops would
    end the agent server with all its calls.

    Args:
        what: a name for the log.
        once: one round.
        pause: seconds between two rounds.
        pause_after_failure: seconds after one that has failed.
    """
    while True:
        try:
            await once()
        except Exception:
            log.exception("round_failed", what=what)
            await asyncio.sleep(pause_after_failure)
        else:
            await asyncio.sleep(pause)
