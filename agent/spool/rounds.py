"""Periodic rounds over the entries of a spool: work on each that nobody owns until it is done."""

import asyncio
import time
from abc import ABC, abstractmethod
from pathlib import Path

import structlog

from agent.backoff import Backoff
from agent.callbacks import Unavailable
from agent.repeating import repeat
from agent.spool.entry import SpoolEntry
from agent.spool.files import discard_unreadable
from agent.spool.record import SpoolError

log = structlog.stdlib.get_logger(__name__)

SCAN_SECONDS = 2.0


class Rounds(ABC):
    """Adopts entries and works on them; an entry that fails has a growing pause of its own.

    A fault of one entry, or of the disk, ends neither the round nor the process. `at_once` entries
    are worked on together; `longest_pause` is the most seconds between two tries of an entry.
    """

    def __init__(self, *, at_once: int, longest_pause: float) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._longest_pause = longest_pause
        self._retries: dict[str, _Retry] = {}
        self._running = asyncio.Lock()

    @abstractmethod
    def _entries(self) -> list[Path]:
        """The entries' folders; runs in a thread."""

    @abstractmethod
    async def _work(self, entry: SpoolEntry) -> None:
        """Do everything that an entry is for, and remove it.

        Raises:
            Unavailable: the entry is to be released and tried again later.
        """

    @abstractmethod
    def _tidy(self, names: set[str]) -> None:
        """Clean up after a round that found entries with these names; runs in a thread."""

    async def run(self) -> None:
        """Run rounds until cancelled."""
        # Calls continue without a readable spool, and it may be repaired meanwhile.
        await repeat(
            type(self).__name__,
            self.once,
            pause=SCAN_SECONDS,
            pause_after_failure=self._longest_pause,
        )

    async def once(self, *, last: bool = False) -> None:
        """Try every entry that nobody owns and whose pause after a failure is over.

        With `last`, before the process ends, also those that are still pausing. Rounds run one
        after the other.
        """
        async with self._running:
            found = await asyncio.to_thread(self._entries)
            names = {path.name for path in found}
            self._retries = {name: each for name, each in self._retries.items() if name in names}
            due = [path for path in found if last or self._is_due(path.name)]
            await asyncio.gather(*(self._try(path) for path in due))
            await asyncio.to_thread(self._tidy, names)

    def _is_due(self, name: str) -> bool:
        retry = self._retries.get(name)
        return retry is None or retry.at <= time.monotonic()

    async def _try(self, path: Path) -> None:
        async with self._slots:
            try:
                await self._adopt_and_work(path)
                return
            except Unavailable as error:
                log.warning("spool_entry_delayed", entry=path.name, why=str(error))
            except OSError as error:
                log.error("spool_entry_unusable", entry=path.name, error=str(error))
            except Exception:
                log.exception("spool_entry_failed", entry=path.name)
            self._retries.setdefault(path.name, _Retry(self._longest_pause)).postpone()

    async def _adopt_and_work(self, path: Path) -> None:
        try:
            entry = await asyncio.to_thread(SpoolEntry.adopt, path)
        except SpoolError as error:
            log.error("spool_entry_unreadable", entry=path.name, error=str(error))
            await asyncio.to_thread(discard_unreadable, path, str(error))
            return
        if entry is not None:
            try:
                await self._work(entry)
            finally:
                # The lock of a finished entry is gone already.
                entry.release()


class _Retry:
    """When an entry is tried again, on the monotonic clock."""

    def __init__(self, longest_pause: float) -> None:
        self.at = 0.0
        self._backoff = Backoff(first=SCAN_SECONDS, longest=longest_pause)

    def postpone(self) -> None:
        self.at = time.monotonic() + self._backoff.next_pause()
