"""Waiting for a condition with a deadline; tests never sleep for a fixed time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.25
"""Seconds between two checks of a condition."""


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], within: float = 60.0, what: str = ""
) -> None:
    """Return as soon as the condition holds; fail after `within` seconds.

    A condition that is awaited asks a server. The longer the wait, the less often it is checked, so
    that the tests that wait leave the processor to those that work.
    """
    begin = time.monotonic()
    pause = SHORTEST_PAUSE
    while True:
        holds = condition()
        if inspect.isawaitable(holds):
            holds = await holds
            pause = min(max(SHORTEST_PAUSE, (time.monotonic() - begin) / 10), LONGEST_PAUSE)
        if holds:
            return
        assert time.monotonic() - begin < within, f"not within {within:g} s: {what or condition}"
        await asyncio.sleep(pause)
