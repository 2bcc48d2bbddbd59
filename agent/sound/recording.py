"""The recording of a call: by its agent, until LiveKit's egress service takes over.

The agent uses LiveKit's own recorder, which writes an Ogg Opus file (the caller on the left
channel, the agent on the right) in a thread. The file is in the job's spool entry, where it
survives the process.
"""

import asyncio
import io
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import structlog
from livekit.agents import AgentSession
from livekit.agents.voice.recorder_io import RecorderIO

from adapters.livekit.connection import LiveKitConnection
from agent.sound.egress import EgressRefused, fate_of, record_room
from agent.spool import Disk, DiskHangs, SpoolEntry, Target
from domain.recordings.recording import CallRecording, RecordingState, recording_path

log = structlog.stdlib.get_logger(__name__)

CLOSE_SECONDS = 3.0
"""How long the end of the recording may delay the report."""


class CallRecorder:
    """Records one attempt."""

    def __init__(self, entry: SpoolEntry, recording: CallRecording) -> None:
        self.recording: CallRecording | None = recording
        """Its state, for the report; None if an earlier attempt's recording goes on."""
        self._entry = entry
        # Separate from the outbox's, whose records must not wait for a recording.
        self._disk = Disk()
        self._recorder: RecorderIO | None = None
        self._lk: LiveKitConnection | None = None

    @classmethod
    async def start(
        cls,
        session: AgentSession[Any],
        entry: SpoolEntry,
        storage: str | None,
        spool: str | None = None,
    ) -> "CallRecorder":
        """Record a started session; if that is impossible, the recording holds the reason.

        `storage` is the URL of the storage of recordings; `spool` is the id of the spool, if
        heartbeats report it to the API.
        """
        recording = _pending(entry.target, spool)
        self = cls(entry, recording)
        heard, spoken = session.input.audio, session.output.audio
        if storage is None:
            self._fail(recording, "EVERLINE_RECORDINGS_URL is not set on the agent worker")
        elif heard is None or spoken is None:
            self._fail(recording, "the session has no sound to record")
        else:
            try:
                await self._disk.ask(partial(entry.announce_recording, recording))
                recorder = _Recorder(agent_session=session)
                recorder.file = await self._disk.ask(partial(_SoundFile, entry.sound))
                session.input.audio = recorder.record_input(heard)
                session.output.audio = recorder.record_output(spoken)
                await recorder.start(output_path=entry.sound)
                self._recorder = recorder
                log.info("recording_started", path=recording.path)
            except Exception as error:
                # A call without a recording is better than no call.
                log.exception("recording_not_started")
                self._fail(recording, f"it could not start: {type(error).__name__}")
        return self

    async def hand_over(self, lk: LiveKitConnection, room: str, storage: str) -> None:
        """Let LiveKit's egress service record the room from here on, if it can."""
        spool = self.recording.spool if self.recording else None
        # A separate file: a service may start after the time limit, while the agent records.
        by_egress = _pending(self._entry.target, spool, "-egress")
        try:
            egress_id = await record_room(lk, room, storage, by_egress.path)
        except EgressRefused as refused:
            log.warning("no_egress", reason=str(refused))
            return
        own, self._recorder = self._recorder, None
        if egress_id is None:
            # An earlier attempt's recording continues, and is linked to that attempt.
            self.recording = None
            await self._write(self._entry.forget_recording)
        else:
            self._lk = lk
            self.recording = by_egress.model_copy(update={"egress_id": egress_id})
            # If this process dies, `Uploads` asks LiveKit for the result.
            await self._write(partial(self._entry.announce_recording, self.recording))
        await _close(own)
        await self._write(partial(self._entry.sound.unlink, missing_ok=True))

    async def aclose(self) -> CallRecording | None:
        """Finish and close the file; what has been written is kept in any case."""
        await _close(self._recorder)
        recording = self.recording
        if recording is not None and recording.egress_id and self._lk is not None:
            fate = await fate_of(self._lk, recording.egress_id, CLOSE_SECONDS)
            # A later report of LiveKit's that it is stored takes precedence.
            return fate.of(recording) if fate else recording
        return recording

    async def _write(self, write: Callable[[], None]) -> None:
        try:
            await self._disk.ask(write)
        except (OSError, DiskHangs):
            # LiveKit's webhook reports the recording as well.
            log.exception("recording_not_noted", entry=self._entry.path.name)

    def _fail(self, recording: CallRecording, why: str) -> None:
        log.error("call_not_recorded", reason=why)
        failed = {"state": RecordingState.FAILED, "error": why}
        self.recording = recording.model_copy(update=failed)


class _SoundFile(io.FileIO):
    """The recorder's unbuffered file; the recorder uses only the `parent` of a path."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, "w")
        self.parent = path.parent

    def __del__(self) -> None:
        # A hanging disk may open the file after its recorder is gone.
        self.close()


class _Recorder(RecorderIO):
    """LiveKit's recorder, with a file that holds each second of sound as soon as it is encoded.

    FFmpeg writes 256 KiB at a time to a path, which is half a minute, but page by page to a Python
    file.
    """

    file: _SoundFile
    """The file that it records into; set before the start."""

    def _encode_thread(self) -> None:
        with self.file:
            self._output_path = cast(Path, self.file)
            super()._encode_thread()


async def _close(recorder: RecorderIO | None) -> None:
    if recorder is None:
        return
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await recorder.aclose()
    except Exception as error:  # noqa: BLE001  # such as a full disk; the report matters more
        log.error("recording_cut", seconds=CLOSE_SECONDS, error=type(error).__name__)


def _pending(target: Target, spool: str | None, suffix: str = "") -> CallRecording:
    job = f"{target.job_id}{suffix}"
    return CallRecording(
        attempt=target.attempt,
        state=RecordingState.PENDING,
        path=recording_path(target.org, target.session_id, target.attempt, job),
        started_at=datetime.now(UTC),
        spool=spool,
    )
