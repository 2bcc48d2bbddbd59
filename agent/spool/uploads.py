"""Upload of recordings to their storage, retried for days if need be."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import structlog

from adapters.livekit.connection import LiveKitConnection
from adapters.recordings import RecordingStore
from agent.callbacks import CallbackClient, Refused, Unavailable
from agent.sound.egress import LEFT, fate_of
from agent.spool.entry import SpoolEntry
from agent.spool.files import RECORDINGS
from agent.spool.record import Target
from agent.spool.rounds import Rounds
from domain import errors
from domain.recordings.recording import GIVE_UP_AFTER, CallRecording, RecordingState

log = structlog.stdlib.get_logger(__name__)

LONGEST_PAUSE = 60.0
ASK_SECONDS = 5.0
LEFT_SECONDS = 60.0
"""How long a service may be gone from an empty room until LiveKit reports the result."""
_CONCURRENT = 2
_NOTHING = "nothing was recorded"
# When it is closed, a recorder writes at least the silence until then.
_LOST = "its agent was lost before any of it was written"


class Uploads(Rounds):
    """Stores recordings, in the agent server's process.

    Separate from the drainer: a slow storage must not delay turns. LiveKit is asked about the
    recordings of its egress service: a webhook may be lost, and a killed service sends none.
    """

    def __init__(
        self, spool: Path, store: RecordingStore | None, lk: LiveKitConnection | None = None
    ) -> None:
        super().__init__(spool / RECORDINGS, at_once=_CONCURRENT, longest_pause=LONGEST_PAUSE)
        self._store = store
        self._lk = lk
        self._alone: dict[str, float] = {}
        self._reported: set[str] = set()

    def _tidy(self, names: set[str]) -> None:
        self._reported &= names
        self._alone = {name: since for name, since in self._alone.items() if name in names}

    async def _work(self, entry: SpoolEntry) -> None:
        """Store an entry's recording, report it to the API, and delete the entry."""
        recording = await asyncio.to_thread(entry.recording)
        if recording is not None:
            await self._deliver(entry, recording)
        await asyncio.to_thread(entry.remove)

    async def _deliver(self, entry: SpoolEntry, recording: CallRecording) -> None:
        result, again = await self._stored(entry, recording)
        if not again or entry.path.name not in self._reported:
            await _report(entry.target, result)
        if again:
            self._reported.add(entry.path.name)
            raise Unavailable(result.error or "LiveKit's egress service has not stored it yet")
        log.info("recording_finished", path=result.path, state=result.state.value)

    async def _stored(
        self, entry: SpoolEntry, recording: CallRecording
    ) -> tuple[CallRecording, bool]:
        """The recording's present state, and whether to try again."""
        if recording.state is RecordingState.STORED:
            return recording, False
        if recording.egress_id is not None:
            return await self._by_egress(entry.path.name, recording, recording.egress_id)
        sound = entry.sound
        size = await asyncio.to_thread(lambda: sound.stat().st_size if sound.is_file() else None)
        if not size:
            return _failed(recording, _NOTHING if size is None else _LOST), False
        if self._store is None:
            return _failed(recording, "EVERLINE_RECORDINGS_URL is not set"), _is_young(recording)
        try:
            size = await self._store.put(recording.path, sound)
        except errors.Unavailable as error:
            return _failed(recording, error.message), _is_young(recording)
        stored = recording.model_copy(update={"state": RecordingState.STORED, "bytes": size})
        # Noted, so that it is not uploaded again if the API is unreachable.
        await asyncio.to_thread(entry.announce_recording, stored)
        return stored, False

    async def _by_egress(
        self, name: str, recording: CallRecording, egress_id: str
    ) -> tuple[CallRecording, bool]:
        fate = await fate_of(self._lk, egress_id, ASK_SECONDS) if self._lk else None
        if fate is not None and fate.state is not RecordingState.PENDING:
            return fate.of(recording), False
        if not _is_young(recording):
            return _failed(recording, "LiveKit has not reported the result"), False
        if fate is None or not fate.alone:
            self._alone.pop(name, None)
        elif time.monotonic() - self._alone.setdefault(name, time.monotonic()) > LEFT_SECONDS:
            return _failed(recording, LEFT), False
        return recording, True


async def _report(target: Target, recording: CallRecording) -> None:
    async with CallbackClient(target.callback_url, target.callback_token) as client:
        try:
            await client.recording(recording)
        except Refused as refused:
            # The recording is where the report says; only its link stays as it was.
            log.error("recording_not_linked", path=recording.path, reason=str(refused))


def _is_young(recording: CallRecording) -> bool:
    begun = recording.started_at
    return begun is None or datetime.now(UTC) - begun < GIVE_UP_AFTER


def _failed(recording: CallRecording, why: str) -> CallRecording:
    return recording.model_copy(update={"state": RecordingState.FAILED, "error": why[:500]})
