"""The recording of a call: by its agent, until LiveKit's egress service has taken it over.

The agent uses LiveKit's own recorder, which writes an Ogg Opus file (the caller on the left
channel, the agent on the right) beside the conversation, in a thread; here it writes into the job's
spool entry, where what it has written survives the process.
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
from livekit.api import LiveKitAPI

from agent.sound.egress import EgressRefused, fate_of, record_room
from agent.spool import Disk, DiskHangs, SpoolEntry, Target
from domain.recordings.recording import CallRecording, RecordingState, recording_path

log = structlog.stdlib.get_logger(__name__)

CLOSE_SECONDS = 3.0
"""How long the end of the recording may keep the report waiting."""


class CallRecorder:
    """Records one attempt."""

    def __init__(self, entry: SpoolEntry, recording: CallRecording) -> None:
        self.recording: CallRecording | None = recording
        """How far it is, for the report; None if there is nothing new to tell."""
        self._entry = entry
        # Not the outbox's, whose records must not wait for a recording.
        self._disk = Disk()
        self._recorder: RecorderIO | None = None
        self._lk: LiveKitAPI | None = None

    @classmethod
    async def start(
        cls,
        session: AgentSession[Any],
        entry: SpoolEntry,
        storage: str | None,
        spool: str | None = None,
    ) -> "CallRecorder":
        """Record a session that has been started; why that is not possible is in its recording.

        Args:
            session: with its input and output in the room.
            entry: the attempt's spool entry.
            storage: URL of the storage of recordings; None if none is configured.
            spool: id of the spool, if the API hears of it by heartbeats.
        """
        recording = _pending(entry.target, spool)
        self = cls(entry, recording)
        if storage is None:
            self._fail("EVERLINE_RECORDINGS_URL is not set on the agent worker")
        elif session.input.audio is None or session.output.audio is None:
            self._fail("the session has no sound to record")
        else:
            try:
                await self._disk.ask(partial(entry.announce_recording, recording))
                self._recorder = await _attached(session, entry.sound, self._disk)
                log.info("recording_started", path=recording.path)
            except Exception as error:
                # A call without a recording is better than no call.
                log.exception("recording_not_started")
                self._fail(f"it could not start: {type(error).__name__}")
        return self

    async def hand_over(self, lk: LiveKitAPI, room: str, storage: str) -> None:
        """Have LiveKit's egress service record the room from here on, if it can.

        Args:
            lk: LiveKit's server API.
            room: LiveKit's full name of the room.
            storage: URL of the storage of recordings.
        """
        spool = self.recording.spool if self.recording else None
        # A file of its own: a service may begin after LiveKit was given up, and the agent records.
        theirs = _pending(self._entry.target, spool, "-egress")
        try:
            egress_id = await record_room(lk, room, storage, theirs.path)
        except EgressRefused as refused:
            log.warning("no_egress", reason=str(refused))
            return
        own, self._recorder = self._recorder, None
        if egress_id is None:
            # One that goes on since an earlier attempt is linked from there.
            self.recording = None
            await self._note(self._entry.forget_recording)
        else:
            self._lk = lk
            self.recording = theirs.model_copy(update={"egress_id": egress_id})
            # Whatever becomes of this process: `Uploads` asks LiveKit for its fate.
            await self._note(partial(self._entry.announce_recording, self.recording))
        await _close(own)
        await self._note(partial(self._entry.sound.unlink, missing_ok=True))

    async def aclose(self) -> CallRecording | None:
        """Write what is left, and close the file; what is written by then is kept in any case."""
        await _close(self._recorder)
        recording = self.recording
        if recording is not None and recording.egress_id and self._lk is not None:
            fate = await fate_of(self._lk, recording.egress_id, CLOSE_SECONDS)
            # Should a lost one be stored all the same, LiveKit says so, and that counts more.
            return fate.of(recording) if fate else recording
        return recording

    async def _note(self, write: Callable[[], None]) -> None:
        try:
            await self._disk.ask(write)
        except (OSError, DiskHangs):
            # LiveKit's webhook tells of the recording as well.
            log.exception("recording_not_noted", entry=self._entry.path.name)

    def _fail(self, why: str) -> None:
        log.error("call_not_recorded", reason=why)
        if self.recording is not None:
            failed = {"state": RecordingState.FAILED, "error": why}
            self.recording = self.recording.model_copy(update=failed)


class _SoundFile(io.FileIO):
    """The recorder's file, which keeps nothing back; it looks at a path's `parent` alone."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, "w")
        self.parent = path.parent

    def __del__(self) -> None:
        # Of one that a hanging disk opened after its recorder had gone, nobody else knows.
        self.close()


class _Recorder(RecorderIO):
    """LiveKit's recorder, whose file holds each second of the sound as soon as it is encoded.

    To a path FFmpeg writes 256 KiB at a time, which is half a minute; to a file of Python's it
    writes page by page.
    """

    file: _SoundFile
    """What it records into, from its start on."""

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
    except Exception as error:  # noqa: BLE001  # a full disk, for one; the report matters more
        log.error("recording_cut", seconds=CLOSE_SECONDS, error=type(error).__name__)


async def _attached(session: AgentSession[Any], file: Path, disk: Disk) -> RecorderIO:
    """Record the session's sound.

    Raises:
        DiskHangs: the file could not be opened in time.
        OSError: it cannot be written.
    """
    recorder = _Recorder(agent_session=session)
    recorder.file = await disk.ask(partial(_SoundFile, file))
    if session.input.audio is not None and session.output.audio is not None:
        session.input.audio = recorder.record_input(session.input.audio)
        session.output.audio = recorder.record_output(session.output.audio)
    await recorder.start(output_path=file)
    return recorder


def _pending(target: Target, spool: str | None, suffix: str = "") -> CallRecording:
    job = f"{target.job_id}{suffix}"
    return CallRecording(
        attempt=target.attempt,
        state=RecordingState.PENDING,
        path=recording_path(target.org, target.session_id, target.attempt, job),
        started_at=datetime.now(UTC),
        spool=spool,
    )
