"""Delivery of what jobs left behind: killed jobs, and jobs that ended during an outage."""

import asyncio
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

import structlog

from agent.callbacks import CallbackClient
from agent.spool.delivery import Delivery, EntryRefused
from agent.spool.entry import SpoolEntry
from agent.spool.files import RECORDINGS, REJECTED, TEMP_PREFIX
from agent.spool.rounds import Rounds

log = structlog.stdlib.get_logger(__name__)

LONGEST_PAUSE = 30.0
REJECTED_DAYS = 7
REJECTED_BYTES = 256 * 1024 * 1024
_TEMP_SECONDS = 3600.0
_CONCURRENT = 4
_ENTRY_NAME = re.compile(r"[0-9a-f]{16}-[0-9]+-[0-9a-f]{16}")


class Drainer(Rounds):
    """Delivers entries whose jobs are gone, in the agent server's process."""

    def __init__(self, spool: Path) -> None:
        super().__init__(at_once=_CONCURRENT, longest_pause=LONGEST_PAUSE)
        self._spool = spool
        self._external: set[str] = set()

    def _entries(self) -> list[Path]:
        if not self._spool.is_dir():
            return []
        found = [path for path in self._spool.iterdir() if not path.name.startswith(".")]
        entries = [path for path in found if _ENTRY_NAME.fullmatch(path.name) and path.is_dir()]
        known = {path.name for path in entries} | {REJECTED, RECORDINGS}
        external = {path.name for path in found} - known
        for name in sorted(external - self._external):
            # A volume's `lost+found`, for instance; logged once.
            log.warning("spool_holds_unknown_file", name=name)
        self._external = external
        return sorted(entries)

    async def _work(self, entry: SpoolEntry) -> None:
        target = entry.target
        try:
            async with CallbackClient(target.callback_url, target.callback_token) as client:
                await Delivery(entry, client).deliver_pending()
        except EntryRefused:
            return
        if cut := await asyncio.to_thread(entry.keep_unreadable):
            log.warning("spool_tail_cut", entry=entry.path.name, bytes=cut)
        await asyncio.to_thread(entry.leave)
        log.info(
            "spool_entry_drained",
            org=target.org,
            session_id=target.session_id,
            attempt=target.attempt,
        )

    def _tidy(self, names: set[str]) -> None:
        if not self._spool.is_dir():
            return
        now = time.time()
        folders = (self._spool, self._spool / RECORDINGS)
        for temp in [temp for folder in folders for temp in folder.glob(f"{TEMP_PREFIX}*")]:
            with suppress(FileNotFoundError):
                if now - temp.stat().st_mtime > _TEMP_SECONDS:
                    shutil.rmtree(temp, ignore_errors=True)
        prune_rejected(self._spool / REJECTED, now)


def prune_rejected(folder: Path, now: float) -> None:
    """Delete refused entries that are too old, then the oldest until the rest is small enough."""
    if not folder.is_dir():
        return
    aged = sorted((path.stat().st_mtime, path) for path in folder.iterdir())
    sizes = {path: sum(f.stat().st_size for f in path.glob("*")) for _, path in aged}
    total = sum(sizes.values())
    for changed, path in aged:
        if now - changed <= REJECTED_DAYS * 86_400 and total <= REJECTED_BYTES:
            break
        shutil.rmtree(path, ignore_errors=True)
        total -= sizes[path]
        log.warning("spool_rejected_pruned", entry=path.name)
