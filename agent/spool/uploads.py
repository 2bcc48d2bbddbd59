"""Storing recordings: what jobs have recorded goes to its storage, for as long as that takes."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from adapters.recordings import RecordingStore
from agent.backoff import Backoff
from agent.callbacks import CallbackClient, Refused, Unavailable
from agent.spool.entry import RECORDINGS, SpoolEntry, SpoolError, discard_unreadable
from domain import errors
from domain.recording import CallRecording, RecordingState

log = structlog.stdlib.get_logger(__name__)

SCAN_SECONDS = 2.0
LONGEST_PAUSE = 60.0
GIVE_UP_AFTER = timedelta(days=7)
_CONCURRENT = 2


class Uploads:
    """Looks for recordings at start and every `SCAN_SECONDS`, in the agent server's process.

    Apart from the drainer: a slow storage must not delay anybody's turns.
    """

    def __init__(self, spool: Path, store: RecordingStore | None) -> None:
        self._folder = spool / RECORDINGS
        self._store = store
        self._backoffs: dict[str, Backoff] = {}
        self._due: dict[str, float] = {}
        self._told: set[str] = set()
        self._slots = asyncio.Semaphore(_CONCURRENT)

    async def run(self) -> None:
        """Store recordings until cancelled."""
        while True:
            await self.upload_once()
            await asyncio.sleep(SCAN_SECONDS)

    async def upload_once(self) -> None:
        """Try every recording whose pause after a failure is over."""
        found = await asyncio.to_thread(self._entries)
        names = {path.name for path in found}
        self._told &= names
        self._due = {name: at for name, at in self._due.items() if name in names}
        self._backoffs = {name: one for name, one in self._backoffs.items() if name in names}
        now = time.monotonic()
        due = [path for path in found if self._due.get(path.name, 0) <= now]
        await asyncio.gather(*(self._upload(path) for path in due))

    def _entries(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if path.is_dir())

    async def _upload(self, path: Path) -> None:
        async with self._slots:
            try:
                entry = await asyncio.to_thread(SpoolEntry.adopt, path)
            except SpoolError as error:
                log.error("spool_entry_unreadable", entry=path.name, error=str(error))
                await asyncio.to_thread(discard_unreadable, path, str(error))
                return
            if entry is None:
                return
            try:
                await self._finish(entry)
            except Unavailable as error:
                log.warning("recording_delayed", entry=path.name, why=str(error))
                self._postpone(path.name)
                entry.release()
                return
            await asyncio.to_thread(entry.remove)

    async def _finish(self, entry: SpoolEntry) -> None:
        """Store an entry's recording and tell the API.

        Raises:
            Unavailable: the storage or the API cannot take it now.
        """
        recording = await asyncio.to_thread(entry.recording)
        if recording is None:
            return
        result, again = await self._stored(entry, recording)
        if not again or entry.path.name not in self._told:
            await self._tell(entry, result)
        if again:
            self._told.add(entry.path.name)
            raise Unavailable(result.error or "the storage does not take it")
        log.info("recording_finished", path=result.path, state=result.state.value)

    async def _stored(
        self, entry: SpoolEntry, recording: CallRecording
    ) -> tuple[CallRecording, bool]:
        """How far the recording is now, and whether to try again."""
        if recording.state is RecordingState.STORED:
            return recording, False
        if not await asyncio.to_thread(_has_sound, entry.sound):
            return _failed(recording, "nothing was recorded"), False
        if self._store is None:
            return _failed(recording, "EVERLINE_RECORDINGS_URL is not set"), self._young(recording)
        try:
            size = await self._store.put(recording.path, entry.sound)
        except errors.Unavailable as error:
            return _failed(recording, error.message), self._young(recording)
        stored = recording.model_copy(update={"state": RecordingState.STORED, "bytes": size})
        # So that it is not sent again if the API is away.
        await asyncio.to_thread(entry.announce_recording, stored)
        return stored, False

    async def _tell(self, entry: SpoolEntry, recording: CallRecording) -> None:
        target = entry.target
        async with CallbackClient(target.callback_url, target.callback_token) as client:
            try:
                await client.recording(recording)
            except Refused as refused:
                # It is where the report says that it will be; only the link stays as it was.
                log.error("recording_not_linked", path=recording.path, reason=str(refused))

    def _young(self, recording: CallRecording) -> bool:
        begun = recording.started_at
        return begun is None or datetime.now(UTC) - begun < GIVE_UP_AFTER

    def _postpone(self, name: str) -> None:
        backoff = self._backoffs.setdefault(name, Backoff(SCAN_SECONDS, LONGEST_PAUSE))
        self._due[name] = time.monotonic() + backoff.next_pause()


def _failed(recording: CallRecording, why: str) -> CallRecording:
    return recording.model_copy(update={"state": RecordingState.FAILED, "error": why[:500]})


def _has_sound(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0
