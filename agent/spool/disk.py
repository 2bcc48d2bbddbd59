"""Work on the spool's disk that waits for no disk that hangs, as a network's may for minutes."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from agent.callbacks import Unavailable

DISK_SECONDS = 2.0
"""How long a disk may take; then its work goes on in its thread, and the call without it."""

_Answer = TypeVar("_Answer")


class DiskHangs(Unavailable):
    """The disk has not answered in time."""


class Disk:
    """Works in threads, one piece after the other: a disk that hangs does not collect threads.

    Args:
        seconds: how long a piece of work is waited for; None for as long as it takes.
    """

    def __init__(self, seconds: float | None = DISK_SECONDS) -> None:
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._going_on: asyncio.Task[Any] | None = None

    async def ask(self, work: Callable[[], _Answer]) -> _Answer:
        """The answer of some work on the disk.

        Raises:
            DiskHangs: it did not come in time, or that of earlier work did not.
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
            # Whoever asked has gone on without it; retrieved, or asyncio complains.
            self._going_on.exception()
        self._going_on = None
