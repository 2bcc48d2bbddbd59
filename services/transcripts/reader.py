"""Read one session's transcript, in any state of the call."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.agents.ports import AgentServers
from domain.errors import Conflict, NotFound, Unavailable
from domain.ids import SessionKey
from domain.recordings.recording import CallRecording, RecordingState
from domain.sessions.ports import SessionArchive
from domain.sessions.session import SessionState, SessionStatus
from domain.transcripts.listing import TranscriptLine, described
from domain.transcripts.ports import SummaryArchive
from domain.transcripts.summary import Summary
from domain.transcripts.transcript import AgentReport, TranscriptHeader, Turn
from services.recordings.recordings import header_now, recordings_now
from services.sessions.control import SessionControl
from services.transcripts.retention import Retention
from services.transcripts.transcripts import Transcripts


@dataclass(frozen=True)
class WholeTranscript:
    """All parts of a transcript; `header` is None until it is sealed."""

    line: TranscriptLine
    header: TranscriptHeader | None
    turns: Sequence[Turn]
    reports: Sequence[AgentReport]
    summary: Summary | None


@dataclass
class TranscriptReader:
    """Reads the parts of transcripts.

    All methods raise `NotFound` if there is no such session in the org, or if its transcript was
    deleted, and `Unavailable` if MongoDB does not answer or the session cannot be looked up now.
    """

    control: SessionControl
    sessions: SessionArchive
    transcripts: Transcripts
    summaries: SummaryArchive
    servers: AgentServers
    retention: Retention | None

    async def whole(self, key: SessionKey, now: datetime) -> WholeTranscript:
        """The whole transcript; during a live call, what there is so far."""
        await self._require_kept(key)
        header = await self._header(key, now)
        status = await self._status(key, sealed=header is not None)
        if status is None and header is None:
            raise no_transcript(key)
        turns = await self.transcripts.turns(key)
        summary = await self.summaries.get(key)
        line = described(status, header, summary, turns)
        reports = await self.transcripts.reports(key)
        return WholeTranscript(line, header, turns, reports, summary)

    async def turns(
        self, key: SessionKey, now: datetime
    ) -> tuple[list[Turn], TranscriptHeader | None]:
        """The turns in transcript order, and the header of a sealed transcript."""
        await self._require_kept(key)
        turns = await self.transcripts.turns(key)
        if not turns:
            await self.control.require(key)
        return turns, await self._header(key, now)

    async def summary(self, key: SessionKey) -> Summary | None:
        """The summary; None if there is none yet."""
        await self._require_kept(key)
        summary = await self.summaries.get(key)
        if summary is None:
            await self.control.require(key)
        return summary

    async def recording(self, key: SessionKey, attempt: int | None, now: datetime) -> CallRecording:
        """The stored recording of an attempt, by default of the last one that has one.

        Raises:
            NotFound: also if the call has no recording.
            Conflict: the recording is not stored, or not yet.
        """
        await self._require_kept(key)
        found = await self.transcripts.recordings(key)
        wanted = [one for one in found if attempt in (None, one.attempt)]
        stored = [one for one in wanted if one.state is RecordingState.STORED]
        if stored:
            # Of two, the larger is complete: the agent may have started one before egress did.
            last = [one for one in stored if one.attempt == stored[-1].attempt]
            return max(last, key=lambda one: one.bytes or 0)
        await self.control.require(key)
        if not wanted:
            raise NotFound("there is no recording of this call", field="sessionId")
        [last] = await recordings_now(wanted[-1:], self.servers, now)
        if last.state is RecordingState.PENDING:
            raise Conflict(
                "the recording is not stored yet",
                field="sessionId",
                cure="ask again in a few seconds",
            )
        raise Conflict(f"the recording is not stored: {last.error}", field="sessionId")

    async def check_deletable(self, key: SessionKey) -> None:
        """Return if the transcript can be deleted, also if a deletion was interrupted.

        Raises:
            Conflict: the session is not closed.
        """
        # An interrupted deletion continues, whatever the state of the session.
        if self.retention and await self.retention.is_deleted(key):
            return
        header = await self.transcripts.header(key)
        status = await self._status(key, sealed=False)
        if status is None and header is None:
            raise no_transcript(key)
        if status is not None and status.state is not SessionState.CLOSED:
            raise Conflict(
                f"session {key.session_id} is not closed",
                field="sessionId",
                cure="end it, and delete its transcript once it is closed",
            )

    async def _header(self, key: SessionKey, now: datetime) -> TranscriptHeader | None:
        return await header_now(await self.transcripts.header(key), self.servers, now)

    async def _status(self, key: SessionKey, *, sealed: bool) -> SessionStatus | None:
        """The status of the session; None if it is unknown. A sealed transcript may do without."""
        recorded = await self.sessions.get(key)
        if recorded is not None and recorded.state is SessionState.CLOSED:
            return recorded
        try:
            return await self.control.status(key)
        except NotFound:
            return None
        except Unavailable:
            if sealed:
                return recorded
            raise

    async def _require_kept(self, key: SessionKey) -> None:
        if self.retention and await self.retention.is_deleted(key):
            raise no_transcript(key)


def no_transcript(key: SessionKey) -> NotFound:
    """One error for unknown sessions, other orgs' sessions and deleted transcripts."""
    return NotFound(f"there is no transcript of session {key.session_id}", field="sessionId")
