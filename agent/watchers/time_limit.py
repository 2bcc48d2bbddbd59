"""The warning before the maximum duration. Everline ends the call itself, whatever happens here."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.stdlib.get_logger(__name__)

_TOLERANCE = 1.0
"""Seconds by which the clocks of agent and workflow may differ without another wait."""


async def warn_in_time(
    before: float,
    remaining: float,
    *,
    speak: Callable[[], object],
    ask_remaining: Callable[[], Awaitable[float | None]],
) -> None:
    """Warn the caller once by calling `speak`, `before` seconds before the call ends.

    `remaining` seconds are left now; `ask_remaining` gives those left later, because a call can be
    extended, or None if unknown.
    """
    if remaining <= before:
        # The previous agent has given the warning.
        log.info("no_time_to_warn", remaining=remaining)
        return
    while (wait := remaining - before) > 0:
        await asyncio.sleep(wait)
        now_left = await ask_remaining()
        if now_left is None or now_left <= before + _TOLERANCE:
            break
        log.info("call_was_extended", remaining=now_left)
        remaining = now_left
    log.info("time_warning")
    speak()
