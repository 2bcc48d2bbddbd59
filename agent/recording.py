"""The recording of a call: by LiveKit's egress service, else by its agent.

The agent uses LiveKit's own recorder, which writes an Ogg Opus file (the caller on the left
channel, the agent on the right) beside the conversation, in a thread; here it writes into the job's
spool entry, where what it has written survives the process.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from livekit.agents import AgentSession
from livekit.agents.voice.recorder_io import RecorderIO
from livekit.api import LiveKitAPI

from agent.egress import EgressRefused, record_room, recording_lost
from agent.spool import SpoolEntry, Target
from domain.recording import CallRecording, RecordingState, recording_path

log = structlog.stdlib.get_logger(__name__)

CLOSE_SECONDS = 3.0
"""How long the end of the recording may keep the report waiting."""


class CallRecorder:
    """Records one attempt."""

    def __init__(
        self,
        recording: CallRecording | None,
        recorder: RecorderIO | None = None,
        is_lost: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self.recording = recording
        """How far it is, for the report; None if there is nothing new to tell."""
        self._recorder = recorder
        self._is_lost = is_lost

    @classmethod
    async def by_egress(
        cls, lk: LiveKitAPI, room: str, entry: SpoolEntry, storage: str
    ) -> "CallRecorder | None":
        """Have LiveKit's egress service record the room; None if it cannot.

        Args:
            lk: LiveKit's server API.
            room: LiveKit's full name of the room.
            entry: the attempt's spool entry.
            storage: URL of the storage of recordings.
        """
        # A file of its own: a service may begin after LiveKit was given up, and the agent records.
        recording = _pending(entry.target, "-egress")
        try:
            begun = await record_room(lk, room, storage, recording.path)
        except EgressRefused as refused:
            log.warning("no_egress", reason=str(refused))
            return None
        if begun is None:
            # One that goes on since an earlier attempt is linked from there.
            return cls(None)
        return cls(recording, is_lost=partial(recording_lost, lk, room, begun, CLOSE_SECONDS))

    @classmethod
    async def start(
        cls, session: AgentSession[Any], entry: SpoolEntry, storage: str | None
    ) -> "CallRecorder":
        """Record a session that has been started; why that is not possible is in its recording.

        Args:
            session: with its input and output in the room.
            entry: the attempt's spool entry.
            storage: URL of the storage of recordings; None if none is configured.
        """
        recording = _pending(entry.target)
        if storage is None:
            return cls(_failed(recording, "EVERLINE_RECORDINGS_URL is not set on the agent worker"))
        if session.input.audio is None or session.output.audio is None:
            return cls(_failed(recording, "the session has no sound to record"))
        try:
            entry.announce_recording(recording)
            recorder = await _attached(session, entry.sound)
        except Exception as error:
            # A call without a recording is better than no call.
            log.exception("recording_not_started")
            return cls(_failed(recording, f"it could not start: {type(error).__name__}"))
        log.info("recording_started", path=recording.path)
        return cls(recording, recorder)

    async def aclose(self) -> CallRecording | None:
        """Write what is left, and close the file; what is written by then is kept in any case."""
        if self._recorder is not None:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._recorder.aclose()
            except TimeoutError:
                log.error("recording_cut", seconds=CLOSE_SECONDS)
        if self.recording is not None and self._is_lost is not None and await self._is_lost():
            # Should it be stored all the same, LiveKit's webhook says so, and that counts more.
            return _failed(self.recording, "LiveKit's egress service left during the call")
        return self.recording


async def _attached(session: AgentSession[Any], file: Path) -> RecorderIO:
    recorder = RecorderIO(agent_session=session)
    if session.input.audio is not None and session.output.audio is not None:
        session.input.audio = recorder.record_input(session.input.audio)
        session.output.audio = recorder.record_output(session.output.audio)
    await recorder.start(output_path=file)
    return recorder


def _pending(target: Target, suffix: str = "") -> CallRecording:
    job = f"{target.job_id}{suffix}"
    return CallRecording(
        attempt=target.attempt,
        state=RecordingState.PENDING,
        path=recording_path(target.org, target.session_id, target.attempt, job),
        started_at=datetime.now(UTC),
    )


def _failed(recording: CallRecording, why: str) -> CallRecording:
    log.error("call_not_recorded", reason=why)
    return recording.model_copy(update={"state": RecordingState.FAILED, "error": why})
