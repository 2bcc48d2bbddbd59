"""Periodic rounds over the entries of a spool: work on each that nobody owns until it is done."""

import asyncio
import re
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.backoff import Backoff
from agent.callbacks import Unavailable
from agent.repeating import repeat
from agent.spool.entry import SpoolEntry

log = structlog.stdlib.get_logger(__name__)

SCAN_SECONDS = 2.0


@dataclass
class _Retry:
    backoff: Backoff
    at: float = 0.0
    """On the monotonic clock."""


class Rounds(ABC):
    """Adopts the entries of a folder and works on them; one that fails is tried again later.

    The pauses between the tries of an entry grow up to `longest_pause` seconds. A fault of one
    entry, or of the disk, ends neither the round nor the process. `at_once` entries are worked on
    together.
    """

    entry_name = re.compile(r"[^.].*")

    def __init__(self, folder: Path, *, at_once: int, longest_pause: float) -> None:
        self._folder = folder
        self._slots = asyncio.Semaphore(at_once)
        self._longest_pause = longest_pause
        self._retries: dict[str, _Retry] = {}
        self._running = asyncio.Lock()
        self._hurried = asyncio.Event()

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
            self._round,
            pause=0.0,
            pause_after_failure=self._longest_pause,
        )

    def hurry(self) -> None:
        """Begin the next round now, and try every entry in it."""
        self._hurried.set()

    async def _round(self) -> None:
        hurried = self._hurried.is_set()
        self._hurried.clear()
        await self.once(pausing=hurried)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), SCAN_SECONDS)

    async def once(self, *, pausing: bool = False) -> None:
        """Try every entry that nobody owns and whose pause after a failure is over.

        With `pausing`, also those that are still pausing. Rounds run one after the other.
        """
        async with self._running:
            found = await asyncio.to_thread(self._entries)
            self._retries = {name: self._retries[name] for name in found if name in self._retries}
            now = time.monotonic()
            resting = {name for name, retry in self._retries.items() if retry.at > now}
            due = [path for name, path in found.items() if pausing or name not in resting]
            await asyncio.gather(*(self._try(path) for path in due))
            await asyncio.to_thread(self._tidy, set(found))

    def _entries(self) -> dict[str, Path]:
        if not self._folder.is_dir():
            return {}
        found = (path for path in self._folder.iterdir() if self.entry_name.fullmatch(path.name))
        return {path.name: path for path in sorted(found) if path.is_dir()}

    async def _try(self, path: Path) -> None:
        async with self._slots:
            try:
                entry = await asyncio.to_thread(SpoolEntry.adopt, path)
                if entry is not None:
                    try:
                        await self._work(entry)
                    finally:
                        # The lock of a finished entry is gone already.
                        entry.release()
                return
            except Unavailable as error:
                log.warning("spool_entry_delayed", entry=path.name, why=str(error))
            except OSError as error:
                log.error("spool_entry_unusable", entry=path.name, error=str(error))
            except Exception:
                log.exception("spool_entry_failed", entry=path.name)
            backoff = Backoff(first=SCAN_SECONDS, longest=self._longest_pause)
            retry = self._retries.setdefault(path.name, _Retry(backoff))
            retry.at = time.monotonic() + retry.backoff.next_pause()
