"""Disk work with a time limit: a network disk may hang for minutes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agent.callbacks import Unavailable

DISK_SECONDS = 2.0
"""How long the disk may take; then the call continues, and the work goes on in its thread."""

_Answer = TypeVar("_Answer")


class DiskHangs(Unavailable):
    """The disk did not answer in time."""


class Disk:
    """Runs work in one thread, in order, so that a hanging disk blocks no other thread.

    Each piece of work is waited for at most `seconds`; None for no limit.
    """

    def __init__(self, seconds: float | None = DISK_SECONDS) -> None:
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")

    async def ask(self, work: Callable[[], _Answer]) -> _Answer:
        """Run the work and return its result.

        Raises:
            DiskHangs: this or earlier work did not finish in time; this work is cancelled if it has
                not begun.
            OSError: what the work raises.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds):
                return await loop.run_in_executor(self._thread, work)
        except TimeoutError:
            raise DiskHangs(f"the spool's disk has not answered for {self._seconds} s") from None
