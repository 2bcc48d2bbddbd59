"""Going round the entries of a spool: each that nobody owns is worked at until it is done."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from agent.backoff import Backoff
from agent.callbacks import Unavailable
from agent.spool.entry import SpoolEntry
from agent.spool.record import SpoolError
from agent.spool.rejected import discard_unreadable

log = structlog.stdlib.get_logger(__name__)

SCAN_SECONDS = 2.0


class Rounds:
    """Adopts entries and works at them; what cannot be done now has a growing pause of its own.

    Whatever is wrong with one entry, and with the disk, ends neither the round nor the process.

    Args:
        entries: lists the entries' folders; runs in a thread.
        work: does all that an entry is for, and puts the entry away. If it raises `Unavailable`,
            the entry is released and tried again later.
        at_once: how many entries are worked at together.
        longest_pause: seconds between two tries of an entry, at most.
    """

    def __init__(
        self,
        entries: Callable[[], list[Path]],
        work: Callable[[SpoolEntry], Awaitable[None]],
        *,
        at_once: int,
        longest_pause: float,
    ) -> None:
        self._entries = entries
        self._work = work
        self._slots = asyncio.Semaphore(at_once)
        self._longest_pause = longest_pause
        self._retries: dict[str, _Retry] = {}
        self._going_round = asyncio.Lock()

    async def once(self, *, last: bool = False) -> list[str]:
        """Try every entry whose pause is over; the names of all that were there.

        One round follows the other. The last one waits for no pause, because nothing comes after.
        """
        async with self._going_round:
            found = await asyncio.to_thread(self._entries)
            names = [path.name for path in found]
            self._retries = {name: self._retries[name] for name in names if name in self._retries}
            due = [path for path in found if last or self._is_due(path.name)]
            await asyncio.gather(*(self._try(path) for path in due))
            return names

    def _is_due(self, name: str) -> bool:
        retry = self._retries.get(name)
        return retry is None or retry.at <= time.monotonic()

    async def _try(self, path: Path) -> None:
        async with self._slots:
            try:
                await self._adopt_and_work(path)
            except OSError as error:
                log.error("spool_entry_unusable", entry=path.name, error=str(error))
                self._postpone(path)
            except Exception:
                log.exception("spool_entry_failed", entry=path.name)
                self._postpone(path)

    async def _adopt_and_work(self, path: Path) -> None:
        try:
            entry = await asyncio.to_thread(SpoolEntry.adopt, path)
        except SpoolError as error:
            log.error("spool_entry_unreadable", entry=path.name, error=str(error))
            await asyncio.to_thread(discard_unreadable, path, str(error))
            return
        if entry is None:
            return
        try:
            await self._work(entry)
        except Unavailable as error:
            log.warning("spool_entry_delayed", entry=path.name, why=str(error))
            self._postpone(path)
        finally:
            # Of one that is done, the lock is gone already.
            entry.release()

    def _postpone(self, path: Path) -> None:
        self._retries.setdefault(path.name, _Retry(self._longest_pause)).postpone()


class _Retry:
    """When an entry is tried again, on the monotonic clock."""

    def __init__(self, longest_pause: float) -> None:
        self.at = 0.0
        self._backoff = Backoff(first=SCAN_SECONDS, longest=longest_pause)

    def postpone(self) -> None:
        self.at = time.monotonic() + self._backoff.next_pause()
