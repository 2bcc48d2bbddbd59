"""What transcripts need from the outside world: their archive, listeners, summarisers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from domain.ids import SessionKey
from domain.paging import Page
from domain.recordings.recording import CallRecording
from domain.transcripts.analysis import AnalysisPlan, Findings
from domain.transcripts.listening import Heard
from domain.transcripts.listing import TranscriptFilter, TranscriptLine, TranscriptOrder
from domain.transcripts.retention import OldTranscript, Removed, RetentionRule
from domain.transcripts.statistics import TranscriptStats
from domain.transcripts.summary import Summary, SummaryOrder
from domain.transcripts.transcript import AgentReport, KeptReports, TranscriptHeader, Turn


class RoomListener(Protocol):
    """Hears what is said in rooms of agents that send no turns; silent, hidden, counted nowhere."""

    def listen(
        self, room: str, identity: str, agent: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
        """Join under `identity`; the segments come until the agent or the room is gone."""
        ...


class TranscriptArchive(Protocol):
    """Turns, reports, transcript headers; writes are acknowledged by a majority, journaled."""

    async def add_turns(self, key: SessionKey, turns: Sequence[Turn]) -> int | None:
        """Store new turns and complete those that are stored; returns how many are new.

        None if the transcript was deleted: what comes after that is dropped.
        """
        ...

    async def turns(self, key: SessionKey) -> list[Turn]:
        """All turns of a session in transcript order."""
        ...

    async def add_report(self, key: SessionKey, report: AgentReport) -> bool:
        """Keep a report as it came; False if the same one is kept already."""
        ...

    async def report_ids(self, key: SessionKey) -> frozenset[str]:
        """What tells the kept reports apart, also those that cannot be read."""
        ...

    async def kept_reports(self, key: SessionKey) -> KeptReports:
        """All reports of a session, also those that cannot be read."""
        ...

    async def reports(self, key: SessionKey) -> list[AgentReport]:
        """The reports that can be read, as they came, by attempt and then by their end."""
        ...

    async def put_recording(self, key: SessionKey, recording: CallRecording) -> None:
        """Store how far a recording is; one that is stored stays so."""
        ...

    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        """What is known of a session's recordings beside the reports."""
        ...

    async def drop_heard(self, key: SessionKey, attempt: int) -> int:
        """Delete what a listener heard in an attempt: its agent's own report has it. How many."""
        ...

    async def header(self, key: SessionKey) -> TranscriptHeader | None:
        """The transcript's header; None while it is not sealed."""
        ...

    async def put_header(self, header: TranscriptHeader) -> None:
        """Store the header; `sealed_at` of an existing one stays."""
        ...


class SummaryArchive(Protocol):
    """The summaries."""

    async def get(self, key: SessionKey) -> Summary | None:
        """The summary record of a session."""
        ...

    async def put(self, summary: Summary) -> None:
        """Store the summary record; there is one writer per session."""
        ...


class Summariser(Protocol):
    """Writes a summary of a transcript. The transcript is untrusted input."""

    @property
    def name(self) -> str:
        """For the summary's record, for instance `extractive`."""
        ...

    async def summarise(self, turns: Sequence[Turn], prompt: str | None = None) -> str:
        """A summary in a few sentences; `prompt` says what it should look at.

        Raises:
            Unavailable: worth a retry.
            InvalidInput: never going to work, with the reason.
        """
        ...


class Analyst(Protocol):
    """Finds out what a plan asks for. The transcript is untrusted input."""

    async def analyse(self, turns: Sequence[Turn], plan: AnalysisPlan) -> Findings:
        """What the plan asks for; the data fits its schema.

        Raises:
            Unavailable: worth a retry.
            InvalidInput: never going to work, with the reason.
        """
        ...


class TranscriptListing(Protocol):
    """The lines of transcripts; no call works without an org."""

    async def page(
        self,
        org: str,
        wanted: TranscriptFilter,
        order: TranscriptOrder,
        limit: int,
        after: str | None,
    ) -> Page[TranscriptLine]:
        """The org's transcripts in this order; `after` is an earlier page's `next`."""
        ...

    async def has_agent(self, org: str, agent: str) -> bool:
        """Whether the org has a transcript of this agent."""
        ...


class TranscriptFigures(Protocol):
    """Where statistics are computed."""

    async def stats(
        self, org: str, agent: str, started_from: datetime, started_to: datetime
    ) -> TranscriptStats:
        """Over the agent's transcripts of calls that started from then (inclusive) to then."""
        ...


class SummaryRuns(Protocol):
    """The workflows that write summaries: one per session at a time."""

    async def start(self, order: SummaryOrder) -> bool:
        """Have a summary written again; False if it is being written just now."""
        ...


class RecordingFiles(Protocol):
    """The storage of recordings."""

    async def delete(self, path: str) -> None:
        """Delete a recording; that there is none is fine."""
        ...


class TranscriptRemoval(Protocol):
    """Deletion of transcripts with all their parts."""

    async def remove(self, key: SessionKey, by: str, at: datetime) -> Removed:
        """Delete a transcript for good; what comes later is dropped. Safe to repeat."""
        ...

    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        """All recordings of the session that anybody has told of."""
        ...

    async def is_removed(self, key: SessionKey) -> bool:
        """Whether the transcript was deleted."""
        ...

    async def ended_before(
        self, org: str, before: datetime, limit: int, after: str | None
    ) -> list[OldTranscript]:
        """The org's transcripts of calls that ended before then, the oldest first.

        With `after`, those that stand behind that place.
        """
        ...

    async def orgs(self, after: str | None, limit: int) -> list[str]:
        """The orgs that have, or had, transcripts, by name; those after `after`."""
        ...


class RetentionRules(Protocol):
    """What orgs have chosen."""

    async def get(self, org: str) -> RetentionRule:
        """The org's rule; one without days if it has chosen none."""
        ...

    async def put(self, rule: RetentionRule) -> None:
        """Store the org's rule."""
        ...
