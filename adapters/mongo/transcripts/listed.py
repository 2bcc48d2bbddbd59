"""Repositories of a session's parts that renew the transcript's line after each write.

They write first and renew afterwards, so no line stays outdated, and parts that arrive after a
deletion are removed again; see `lines.py`.
"""

from collections.abc import Sequence

from adapters.mongo.client import Database
from adapters.mongo.sessions.records import MongoSessions
from adapters.mongo.transcripts.lines import MongoTranscriptLines
from adapters.mongo.transcripts.summaries import MongoSummaries
from adapters.mongo.transcripts.transcripts import MongoTranscripts
from domain.ids import SessionKey
from domain.recordings.recording import CallRecording
from domain.sessions.session import SessionState, SessionStatus
from domain.transcripts.summary import Summary
from domain.transcripts.transcript import AgentReport, TranscriptHeader, Turn


class ListedSessions(MongoSessions):
    """Sessions whose transcripts are listed once they are closed."""

    def __init__(self, database: Database, lines: MongoTranscriptLines) -> None:
        super().__init__(database)
        self._lines = lines

    async def record(self, status: SessionStatus) -> None:
        """As `MongoSessions`; the last one completes the line."""
        await super().record(status)
        if status.state is SessionState.CLOSED:
            await self._lines.renew(SessionKey(status.org, status.session_id))


class ListedTranscripts(MongoTranscripts):
    """Transcripts that are listed."""

    def __init__(self, database: Database, lines: MongoTranscriptLines) -> None:
        super().__init__(database)
        self._lines = lines

    async def add_turns(self, key: SessionKey, turns: Sequence[Turn]) -> int | None:
        """As `MongoTranscripts`; late turns are listed, and dropped (None) after a deletion."""
        new = await super().add_turns(key, turns)
        if new and not await self._lines.renew_if_listed(key):
            return None
        return new

    async def add_report(self, key: SessionKey, report: AgentReport) -> bool:
        """As `MongoTranscripts`; after a deletion it is dropped, and false."""
        new = await super().add_report(key, report)
        kept = await self._lines.renew_if_listed(key)
        return new and kept

    async def put_recording(self, key: SessionKey, recording: CallRecording) -> None:
        """As `MongoTranscripts`; dropped after a deletion."""
        await super().put_recording(key, recording)
        await self._lines.renew_if_listed(key)

    async def put_header(self, header: TranscriptHeader) -> None:
        """As `MongoTranscripts`; from here on the transcript is listed."""
        await super().put_header(header)
        await self._lines.renew(SessionKey(header.org, header.session_id))


class ListedSummaries(MongoSummaries):
    """Summaries whose state is listed."""

    def __init__(self, database: Database, lines: MongoTranscriptLines) -> None:
        super().__init__(database)
        self._lines = lines

    async def put(self, summary: Summary) -> None:
        """As `MongoSummaries`; dropped after a deletion."""
        await super().put(summary)
        await self._lines.renew(SessionKey(summary.org, summary.session_id))
