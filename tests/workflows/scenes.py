"""Tests that run beside each other: a session mostly waits, so many of them share one worker."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.workflows.calls import Studio

Play = Callable[[Studio], Awaitable[None]]
AT_ONCE = 8
"""So many at a time that the budgets of a call are not spent on waiting for the machine."""


class Scenes:
    """All plays of a file, begun together and each awaited by its own test."""

    def __init__(self, studio: Studio, plays: list[Play]) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def perform(play: Play) -> None:
            async with gate, asyncio.timeout(110):
                await play(studio)

        in_order = sorted(plays, key=lambda play: play not in long_ones)
        self._running = {play: asyncio.create_task(perform(play)) for play in in_order}

    async def outcome_of(self, play: Play) -> None:
        """Wait for a play; raises what it raised."""
        await self._running[play]

    async def stop(self) -> None:
        """End what nobody waits for any more."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)


def beside_the_others(play: Play) -> Callable[[Scenes], Awaitable[None]]:
    """Turn a play into a test that runs at the same time as the others of its file."""

    async def test(scenes: Scenes) -> None:
        await scenes.outcome_of(play)

    test.__name__ = test.__qualname__ = play.__name__
    test.__doc__ = play.__doc__
    test.__module__ = play.__module__
    plays[test] = play
    return test


def takes_long(play: Play) -> Play:
    """Have a play begin before the others, because it waits for longer."""
    long_ones.add(play)
    return play


long_ones: set[Play] = set()
plays: dict[object, Play] = {}
"""The play of each test."""
