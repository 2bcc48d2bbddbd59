"""What MongoDB keeps, in memory, behind the ports of `domain`; can be switched off a session."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from domain.errors import EverlineError, StorageUnavailable
from domain.ids import SessionKey
from domain.recordings.recording import CallRecording, RecordingState
from domain.sessions.session import SessionStatus
from domain.transcripts.analysis import AnalysisPlan, CriterionResult, Findings, Verdict
from domain.transcripts.listening import HEARD_PREFIX
from domain.transcripts.summary import Summary
from domain.transcripts.transcript import (
    MAX_REPORTS,
    AgentReport,
    KeptReports,
    Role,
    StoredTurn,
    TooManyReports,
    TranscriptFull,
    TranscriptHeader,
    TranscriptLimits,
    Turn,
    ordered,
)


@dataclass
class Switch:
    """Which sessions' documents cannot be reached now."""

    away: set[SessionKey] = field(default_factory=set[SessionKey])

    def check(self, key: SessionKey) -> None:
        """Raise `StorageUnavailable` for a session that is switched off."""
        if key in self.away:
            raise StorageUnavailable("MongoDB did not answer: test")


class MemorySessions:
    """The port `SessionArchive`; remembers every record in the order of arrival."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self.records: defaultdict[SessionKey, list[SessionStatus]] = defaultdict(list)
        self.delays: dict[SessionKey, float] = {}
        """Seconds that each record of a session takes."""
        self.begun: set[SessionKey] = set()

    async def record(self, status: SessionStatus) -> None:
        key = SessionKey(status.org, status.session_id)
        self.begun.add(key)
        await asyncio.sleep(self.delays.get(key, 0))
        self._switch.check(key)
        self.records[key].append(status)

    async def get(self, key: SessionKey) -> SessionStatus | None:
        self._switch.check(key)
        return max(self.records[key], key=lambda status: status.version, default=None)


class MemoryTranscripts:
    """The port `TranscriptArchive`."""

    def __init__(self, switch: Switch | None = None) -> None:
        self._switch = switch or Switch()
        self._turns: defaultdict[SessionKey, dict[tuple[int, str], StoredTurn]] = defaultdict(dict)
        self._reported: defaultdict[SessionKey, set[tuple[int, str]]] = defaultdict(set)
        self._reports: defaultdict[SessionKey, dict[str, AgentReport]] = defaultdict(dict)
        self.limits: dict[SessionKey, int] = {}
        """Turns that a session may have; without an entry, any number."""
        self._position: defaultdict[SessionKey, int] = defaultdict(int)
        self._headers: dict[SessionKey, TranscriptHeader] = {}
        self._recordings: defaultdict[SessionKey, dict[str, CallRecording]] = defaultdict(dict)

    async def add_turns(
        self, key: SessionKey, turns: Sequence[Turn], *, reported: bool = False
    ) -> int:
        self._switch.check(key)
        known = self._turns[key]
        before = len(known)
        self._position[key] += 1
        position = self._position[key]
        fits = self.limits.get(key, len(known) + len(turns))
        left_out = 0
        for turn in turns:
            if (turn.attempt, turn.item_id) not in known and len(known) >= fits:
                left_out += 1
                continue
            at, now = (turn.attempt, turn.item_id), datetime.now(UTC)
            stored = known.setdefault(at, StoredTurn(turn, now, position=position))
            final = at in self._reported[key] and not reported
            of_another = turn.seq is None and stored.turn.seq is not None
            if reported:
                self._reported[key].add(at)
            if turn.text not in ("", stored.turn.text) and not final and not of_another:
                revised = stored.turn.model_copy(update={"text": turn.text})
                known[at] = StoredTurn(revised, now, stored.revision + 1, position=position)
        if left_out:
            raise TranscriptFull(left_out, TranscriptLimits(turns=fits), turns=True)
        return len(known) - before

    async def turns(self, key: SessionKey) -> list[Turn]:
        return [one.turn for one in await self.stored_turns(key) if not one.replaced]

    async def stored_turns(self, key: SessionKey) -> list[StoredTurn]:
        self._switch.check(key)
        known = self._turns[key]
        every = ordered(stored.turn for stored in known.values())
        return [known[turn.attempt, turn.item_id] for turn in every]

    async def last_position(self, key: SessionKey) -> int:
        self._switch.check(key)
        return self._position[key]

    async def turns_after(
        self, key: SessionKey, position: int, also: Sequence[int] = ()
    ) -> list[StoredTurn]:
        self._switch.check(key)
        every = self._turns[key].values()
        return [one for one in every if one.position > position or one.position in also]

    async def caller_turns(self, key: SessionKey) -> int:
        return sum(turn.role is Role.USER for turn in await self.turns(key))

    def forget(self, key: SessionKey) -> None:
        """Delete the session's turns, as if its transcript was deleted."""
        del self._turns[key], self._position[key]

    async def add_report(self, key: SessionKey, report: AgentReport) -> bool:
        self._switch.check(key)
        new = report.digest() not in self._reports[key]
        same = [one for one in self._reports[key].values() if one.attempt == report.attempt]
        if new and len(same) >= MAX_REPORTS:
            raise TooManyReports
        self._reports[key].setdefault(report.digest(), report)
        return new

    async def report_ids(self, key: SessionKey) -> frozenset[str]:
        self._switch.check(key)
        return frozenset(self._reports[key])

    async def kept_reports(self, key: SessionKey) -> KeptReports:
        self._switch.check(key)
        reports = self._reports[key]
        return KeptReports(
            readable=sorted(reports.values(), key=lambda report: report.attempt),
            attempts=frozenset(report.attempt for report in reports.values()),
            ids=frozenset(reports),
        )

    async def reports(self, key: SessionKey) -> list[AgentReport]:
        return (await self.kept_reports(key)).readable

    async def put_recording(self, key: SessionKey, recording: CallRecording) -> None:
        self._switch.check(key)
        known = self._recordings[key].get(recording.path)
        if known is None or known.state is not RecordingState.STORED:
            self._recordings[key][recording.path] = recording

    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        self._switch.check(key)
        return list(self._recordings[key].values())

    async def replace_heard(self, key: SessionKey, attempt: int) -> None:
        self._switch.check(key)
        known = self._turns[key]
        self._position[key] += 1
        for at in [at for at in known if at[0] == attempt and at[1].startswith(HEARD_PREFIX)]:
            if not known[at].replaced:
                known[at] = replace(known[at], replaced=True, position=self._position[key])

    async def header(self, key: SessionKey) -> TranscriptHeader | None:
        self._switch.check(key)
        return self._headers.get(key)

    async def put_header(self, header: TranscriptHeader) -> None:
        key = SessionKey(header.org, header.session_id)
        self._switch.check(key)
        known = self._headers.get(key)
        sealed = {"sealed_at": known.sealed_at} if known else {}
        self._headers[key] = header.model_copy(update=sealed)


class MemorySummaries:
    """The port `SummaryArchive`; remembers every record in the order of arrival."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self.records: defaultdict[SessionKey, list[Summary]] = defaultdict(list)

    async def get(self, key: SessionKey) -> Summary | None:
        self._switch.check(key)
        return self.records[key][-1] if self.records[key] else None

    async def put(self, summary: Summary) -> None:
        key = SessionKey(summary.org, summary.session_id)
        self._switch.check(key)
        self.records[key].append(summary)


class MemoryCallerSigns:
    """The port `CallerSigns`: what a session's agent says of its caller, once it says something."""

    def __init__(self) -> None:
        self.said: dict[SessionKey, str] = {}

    async def caller_seen(self, key: SessionKey) -> str | None:
        return self.said.get(key)


class MemoryArchive:
    """All of it."""

    def __init__(self) -> None:
        self.switch = Switch()
        self.sessions = MemorySessions(self.switch)
        self.transcripts = MemoryTranscripts(self.switch)
        self.summaries = MemorySummaries(self.switch)
        self.agent_servers = MemoryCallerSigns()


@dataclass
class ScriptedSummariser:
    """The port `Summariser`: the number of turns, after the faults that its transcript asks for.

    Attributes:
        faults: what the next attempts raise, by the text of the transcript's first turn.
        delays: seconds that each attempt takes, likewise.
        gates: what each attempt waits for, likewise.
        calls: first turns of the transcripts that it was asked for.
    """

    name: str = "scripted"
    faults: dict[str, list[EverlineError]] = field(default_factory=dict[str, list[EverlineError]])
    delays: dict[str, float] = field(default_factory=dict[str, float])
    gates: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    calls: list[str] = field(default_factory=list[str])

    async def summarise(self, turns: Sequence[Turn], prompt: str | None = None) -> str:
        first = turns[0].text
        self.calls.append(first)
        await asyncio.sleep(self.delays.get(first, 0))
        if first in self.gates:
            await self.gates[first].wait()
        if self.faults.get(first):
            raise self.faults[first].pop(0)
        return f"{len(turns)} turns about {first}"


@dataclass
class ScriptedAnalyst:
    """The port `Analyst`: every criterion is fulfilled, and the data is the number of turns.

    Attributes:
        faults: what the next attempts raise, by the text of the transcript's first turn.
    """

    faults: dict[str, list[EverlineError]] = field(default_factory=dict[str, list[EverlineError]])

    async def analyse(self, turns: Sequence[Turn], plan: AnalysisPlan) -> Findings:
        first = turns[0].text
        if self.faults.get(first):
            raise self.faults[first].pop(0)
        verdicts = [
            CriterionResult(id=one.id, result=Verdict.SUCCESS, rationale="as scripted")
            for one in plan.success_criteria
        ]
        return Findings(data={"turns": len(turns)} if plan.data_schema else None, criteria=verdicts)
