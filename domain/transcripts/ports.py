"""Ports of transcripts: the archive, room listeners, summarisers.

Every method raises `Unavailable` if what it talks to does not answer. Storing raises `InvalidInput`
if the data cannot be stored at all.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from domain.ids import SessionKey
from domain.paging import Page
from domain.recordings.recording import CallRecording
from domain.sessions.session import SessionStatus
from domain.transcripts.analysis import AnalysisPlan, Findings
from domain.transcripts.listening import Heard
from domain.transcripts.listing import TranscriptFilter, TranscriptLine, TranscriptOrder
from domain.transcripts.retention import OldTranscript, Removed, RetentionRule
from domain.transcripts.statistics import TranscriptStats
from domain.transcripts.summary import Summary, SummaryOrder
from domain.transcripts.transcript import (
    AgentReport,
    KeptReports,
    StoredTurn,
    TranscriptHeader,
    Turn,
)


class RoomListener(Protocol):
    """Transcribes rooms of agents that send no turns, as a hidden participant."""

    def listen(
        self, room: str, identity: str, agent: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
        """Join as `identity` and yield segments until the agent has left or the room is gone.

        `agent` is the identity of the agent whose words are the assistant's.
        """
        ...


class TranscriptArchive(Protocol):
    """Turns, reports and transcript headers; writes are majority-acknowledged and journaled."""

    async def add_turns(
        self, key: SessionKey, turns: Sequence[Turn], *, reported: bool = False
    ) -> int | None:
        """Store new turns, complete and revise stored ones; returns how many are new.

        Safe to repeat. None if the transcript was deleted: later turns are dropped. `reported`
        turns come from a report, which streamed turns do not revise.

        Raises:
            InvalidInput: one of them cannot be stored; none is.
            TranscriptFull: the session has reached a limit; those that fit are stored.
        """
        ...

    async def turns(self, key: SessionKey) -> list[Turn]:
        """All turns of a session in transcript order."""
        ...

    async def stored_turns(self, key: SessionKey) -> list[StoredTurn]:
        """As `turns`, with the turns that reports replaced."""
        ...

    async def last_position(self, key: SessionKey) -> int:
        """The number of the session's last write of turns, perhaps still in progress; else 0."""
        ...

    async def turns_after(
        self, key: SessionKey, position: int, also: Sequence[int] = ()
    ) -> list[StoredTurn]:
        """The turns whose last change has a higher position, or one of `also`; in any order."""
        ...

    async def caller_turns(self, key: SessionKey) -> int:
        """How many turns of the transcript are the caller's."""
        ...

    async def add_report(self, key: SessionKey, report: AgentReport) -> bool:
        """Store a report as received; False if the same one is already stored.

        Raises:
            TooManyReports: `MAX_REPORTS` others of its attempt are stored.
        """
        ...

    async def report_ids(self, key: SessionKey) -> frozenset[str]:
        """The ids of the stored reports, including unreadable ones."""
        ...

    async def kept_reports(self, key: SessionKey) -> KeptReports:
        """All reports of a session, with the ids of unreadable ones."""
        ...

    async def reports(self, key: SessionKey) -> list[AgentReport]:
        """The readable reports, sorted by attempt and end time."""
        ...

    async def put_recording(self, key: SessionKey, recording: CallRecording) -> None:
        """Store the state of a recording; `stored` is final."""
        ...

    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        """The session's recordings, without those that only reports name."""
        ...

    async def replace_heard(self, key: SessionKey, attempt: int) -> None:
        """Take an attempt's listener turns, which its report replaces, out of the transcript."""
        ...

    async def header(self, key: SessionKey) -> TranscriptHeader | None:
        """The transcript's header; None until it is sealed."""
        ...

    async def put_header(self, header: TranscriptHeader) -> None:
        """Store the header; an existing `sealed_at` is kept."""
        ...


class SummaryArchive(Protocol):
    """Summary records, one per session."""

    async def get(self, key: SessionKey) -> Summary | None:
        """The session's summary record; None if it has none."""
        ...

    async def put(self, summary: Summary) -> None:
        """Store the summary record; a session has a single writer."""
        ...


class Summariser(Protocol):
    """Writes a summary of a transcript. The transcript is untrusted input."""

    @property
    def name(self) -> str:
        """Name for the summary record, for example `extractive`."""
        ...

    async def summarise(self, turns: Sequence[Turn], prompt: str | None = None) -> str:
        """A summary in a few sentences; `prompt` says what to focus on, where supported.

        Raises:
            Unavailable: a retry may help.
            InvalidInput: a retry cannot help, with the reason.
        """
        ...


class Analyst(Protocol):
    """Analyses calls by a plan. The transcript is untrusted input."""

    async def analyse(self, turns: Sequence[Turn], plan: AnalysisPlan) -> Findings:
        """The findings that the plan asks for; the data matches its schema.

        Raises:
            Unavailable: a retry may help.
            InvalidInput: a retry cannot help, with the reason.
        """
        ...


class TranscriptListing(Protocol):
    """Lists of transcripts; every call names an org."""

    async def page(
        self,
        org: str,
        wanted: TranscriptFilter,
        order: TranscriptOrder,
        limit: int,
        after: str | None,
    ) -> Page[TranscriptLine]:
        """The org's transcripts in this order; `after` is the `next` of an earlier page.

        Raises:
            InvalidInput: `after` is not such a cursor.
        """
        ...

    async def has_agent(self, org: str, agent: str) -> bool:
        """Whether the org has a transcript of this agent."""
        ...


class TranscriptFigures(Protocol):
    """Statistics of transcripts."""

    async def stats(
        self, org: str, agent: str, started_from: datetime, started_to: datetime
    ) -> TranscriptStats:
        """Statistics of the agent's calls in [`started_from`, `started_to`)."""
        ...


class SummaryRuns(Protocol):
    """The summary workflows, one per session at a time."""

    async def start(self, order: SummaryOrder) -> bool:
        """Write the summary again; False if a run is already in progress."""
        ...


class ArchiveRuns(Protocol):
    """The workflows that persist a transcript in place of its session."""

    async def start(self, status: SessionStatus) -> None:
        """Seal the transcript of a session that is over, and summarise it unless that was done.

        Safe to repeat.
        """
        ...


class RecordingFiles(Protocol):
    """The storage of recordings."""

    async def delete(self, path: str) -> None:
        """Delete a recording; one that does not exist is fine."""
        ...


class TranscriptRemoval(Protocol):
    """Deletion of transcripts with all their parts."""

    async def remove(self, key: SessionKey, by: str, at: datetime) -> Removed:
        """Delete a transcript permanently; parts that arrive later are dropped.

        Safe to repeat after an error; then it counts only what was left. `by` names who deletes.
        """
        ...

    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        """All known recordings of the session."""
        ...

    async def is_removed(self, key: SessionKey) -> bool:
        """Whether the transcript was deleted."""
        ...

    async def has_stored(self, key: SessionKey) -> bool:
        """Whether anything is stored for a session with this id, if only that it was deleted."""
        ...

    async def ended_before(
        self, org: str, before: datetime, limit: int, after: str | None
    ) -> list[OldTranscript]:
        """The org's transcripts of calls that ended before `before`, oldest first.

        `after` is the sort key of the last one seen.
        """
        ...

    async def orgs(self, after: str | None, limit: int) -> list[str]:
        """The orgs that have or had transcripts, sorted by name, starting after `after`."""
        ...


class RetentionRules(Protocol):
    """The retention rules of orgs."""

    async def get(self, org: str) -> RetentionRule:
        """The org's rule; one without days if it has none."""
        ...

    async def put(self, rule: RetentionRule) -> None:
        """Store the org's rule."""
        ...
