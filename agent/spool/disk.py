"""Disk work with a time limit: a network disk may hang for minutes."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from agent.callbacks import Unavailable

DISK_SECONDS = 2.0
"""How long the disk may take; then the call continues, and the work goes on in its thread."""

_Answer = TypeVar("_Answer")


class DiskHangs(Unavailable):
    """The disk did not answer in time."""


class Disk:
    """Runs work in threads, one at a time, so that a hanging disk blocks one thread only.

    Each piece of work is waited for at most `seconds`; None for no limit.
    """

    def __init__(self, seconds: float | None = DISK_SECONDS) -> None:
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._going_on: asyncio.Task[Any] | None = None

    async def ask(self, work: Callable[[], _Answer]) -> _Answer:
        """Run the work and return its result.

        Raises:
            DiskHangs: this or earlier work did not finish in time.
            OSError: what the work raises.
        """
        try:
            async with asyncio.timeout(self._seconds), self._turn:
                await self._end_of_earlier()
                task = self._going_on = asyncio.create_task(asyncio.to_thread(work))
                await asyncio.wait({task})
                self._going_on = None
                return task.result()
        except TimeoutError:
            raise DiskHangs(f"the spool's disk has not answered for {self._seconds:g} s") from None

    async def _end_of_earlier(self) -> None:
        if self._going_on is None:
            return
        await asyncio.wait({self._going_on})
        if not self._going_on.cancelled():
            # Its caller has timed out; retrieve the error, or asyncio warns.
            self._going_on.exception()
        self._going_on = None
