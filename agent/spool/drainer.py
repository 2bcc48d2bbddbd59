"""Delivery of what jobs left behind: killed jobs, and jobs that ended during an outage."""

import asyncio
import re
import shutil
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

import structlog

from agent.callbacks import CallbackClient
from agent.spool.delivery import Delivery, EntryRefused
from agent.spool.disk import Disk
from agent.spool.entry import SpoolEntry
from agent.spool.files import RECORDINGS, REJECTED, TEMP_PREFIX
from agent.spool.rounds import Rounds

log = structlog.stdlib.get_logger(__name__)

LONGEST_PAUSE = 30.0
REJECTED_DAYS = 7
REJECTED_BYTES = 256 * 1024 * 1024
_TEMP_SECONDS = 3600.0
_CONCURRENT = 4


class Drainer(Rounds):
    """Delivers entries whose jobs are gone, in the agent server's process."""

    entry_name = re.compile(r"[0-9a-f]{16}-[0-9]+-[0-9a-f]{16}")

    def __init__(self, spool: Path) -> None:
        super().__init__(spool, at_once=_CONCURRENT, longest_pause=LONGEST_PAUSE)
        self._external: set[str] = set()

    async def _work(self, entry: SpoolEntry) -> None:
        target = entry.target
        queue = deque(await asyncio.to_thread(entry.pending))
        try:
            async with CallbackClient(target.callback_url, target.callback_token) as client:
                await Delivery(entry, client, queue, Disk(None)).deliver_pending()
        except EntryRefused:
            return
        await asyncio.to_thread(entry.keep_unreadable)
        await asyncio.to_thread(entry.leave)
        log.info(
            "spool_entry_drained", **target.model_dump(include={"org", "session_id", "attempt"})
        )

    def _tidy(self, names: set[str]) -> None:
        if not self._folder.is_dir():
            return
        found = {path.name for path in self._folder.iterdir() if not path.name.startswith(".")}
        known = {REJECTED, RECORDINGS, *filter(self.entry_name.fullmatch, found)}
        for name in sorted(found - known - self._external):
            # A volume's `lost+found`, for instance; logged once.
            log.warning("spool_holds_unknown_file", name=name)
        self._external = found - known
        now = time.time()
        folders = (self._folder, self._folder / RECORDINGS)
        for temp in [temp for folder in folders for temp in folder.glob(f"{TEMP_PREFIX}*")]:
            with suppress(FileNotFoundError):
                if now - temp.stat().st_mtime > _TEMP_SECONDS:
                    shutil.rmtree(temp, ignore_errors=True)
        prune_rejected(self._folder / REJECTED, now)


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
