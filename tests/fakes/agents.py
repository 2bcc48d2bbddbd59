"""Agents as a session's workflow sees them: participants, claims, reports, each when told to."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count

from domain.errors import StaleAttempt
from domain.sessions.control import ATTEMPT_ATTRIBUTE
from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import AgentFailed, AgentReady, ReadyAnswer, ReportReceived
from domain.sessions.ports import Participant
from tests.fakes.rooms import FakeRooms, Sent


@dataclass(frozen=True)
class Plays:
    """What the agent of one attempt does; times in seconds, None for never."""

    appears: float | None = 0.0
    """After the dispatch."""
    appears_with: int | None = None
    """Appears when this later attempt is dispatched, although its own dispatch is gone by then."""
    claims: float | None = 0.0
    """After it appeared; a foreign agent never claims."""
    foreign: bool = False
    fails: str | None = None
    """Says so instead of claiming."""
    fails_for_good: bool = False
    report_when_told: bool = True
    """Reports and leaves when it is told to finish."""
    report_when_removed: bool = True
    """Reports in its end hook when it is removed."""


NEVER_COMES = Plays(appears=None)


class Lines:
    """How agents talk to their session; played by whoever holds the workflow's handle."""

    def __init__(
        self,
        claim: Callable[[AgentReady], Awaitable[ReadyAnswer]],
        failed: Callable[[AgentFailed], Awaitable[None]],
        report: Callable[[ReportReceived], Awaitable[None]],
    ) -> None:
        self.claim = claim
        self.failed = failed
        self.report = report


@dataclass
class Crew:
    """The agents of one session, one per attempt; the last one's part is played by all further."""

    rooms: FakeRooms
    lines: Lines
    parts: list[Plays]
    answers: list[ReadyAnswer] = field(default_factory=list[ReadyAnswer])
    refusals: list[str] = field(default_factory=list[str])
    told: list[str] = field(default_factory=list[str])
    """Reasons of the messages to finish."""
    caller_turns: int = 1
    """How many turns of the caller each report has."""
    _attempts: dict[str, int] = field(default_factory=dict[str, int])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def on_dispatch(self, room: str, dispatch_id: str, metadata: str) -> None:
        """LiveKit offers the job to an agent server."""
        attempt = int(json.loads(metadata)["everline"]["attempt"])
        for earlier in range(1, attempt):
            if self._part(earlier).appears_with == attempt:
                self._do(self._come(room, earlier, None))
        if self._part(attempt).appears_with is None:
            self._do(self._join(room, dispatch_id, attempt))

    def on_data(self, room: str, sent: Sent) -> None:
        """A packet reaches the agents that it names."""
        self.told.append(json.loads(sent.data)["reason"])
        for identity in sent.identities:
            attempt = self._attempts[identity]
            if self._part(attempt).report_when_told:
                self._do(self._finish(room, identity, ReportEnd.END_REQUESTED))

    def on_removed(self, room: str, participant: Participant) -> None:
        """An agent is removed, or its room is deleted; its end hook runs."""
        attempt = self._attempts.get(participant.identity)
        if attempt and self._part(attempt).report_when_removed:
            self._do(self._report(attempt, ReportEnd.SHUTDOWN))

    async def report(self, attempt: int, end: ReportEnd, turns: int = 2) -> ReportReceived:
        """Hand in a report; the same attempt and end are the same report."""
        report = ReportReceived(
            event_id=f"report:{attempt}:{end}",
            attempt=attempt,
            digest=f"digest-{attempt}-{end}",
            end_reason=end,
            turn_count=turns,
            caller_turns=self.caller_turns,
            stored=True,
        )
        await self.lines.report(report)
        return report

    async def settle(self) -> None:
        """Let everything that agents have begun come to its end."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def idle(self) -> bool:
        """Whether no agent is about to come, to claim or to report."""
        return not self._tasks

    def _part(self, attempt: int) -> Plays:
        return self.parts[min(attempt, len(self.parts)) - 1]

    async def _join(self, room: str, dispatch_id: str, attempt: int) -> None:
        part = self._part(attempt)
        if part.appears is None:
            return
        await asyncio.sleep(part.appears)
        found = self.rooms.rooms.get(room)
        if found and dispatch_id in found.dispatches:
            await self._come(room, attempt, dispatch_id)

    async def _come(self, room: str, attempt: int, dispatch_id: str | None) -> None:
        part = self._part(attempt)
        identity = f"agent-{attempt}-{next(self._numbers)}"
        self._attempts[identity] = attempt
        attributes = {} if part.foreign else {ATTEMPT_ATTRIBUTE: str(attempt)}
        self.rooms.join(room, identity, "agent", attributes, dispatch=dispatch_id)
        if part.fails:
            await self.lines.failed(
                AgentFailed(
                    event_id=f"failed:{attempt}",
                    attempt=attempt,
                    reason=part.fails,
                    retryable=not part.fails_for_good,
                )
            )
        elif part.claims is not None and not part.foreign:
            await asyncio.sleep(part.claims)
            claim = AgentReady(attempt=attempt, job_id=f"AJ_{identity}", identity=identity)
            try:
                self.answers.append(await self.lines.claim(claim))
            except StaleAttempt as refusal:
                self.refusals.append(refusal.message)
                self.rooms.leave(room, identity)

    async def _finish(self, room: str, identity: str, end: ReportEnd) -> None:
        await self.report(self._attempts[identity], end)
        self.rooms.leave(room, identity)

    async def _report(self, attempt: int, end: ReportEnd) -> None:
        await self.report(attempt, end)

    def _do(self, doing: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
