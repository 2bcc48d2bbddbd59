"""What an open session shows of itself: status, search attributes, and a timeline for operators."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import (
    SearchAttributeUpdate,
)

with workflow.unsafe.imports_passed_through():
    from domain.sessions.attempts import Attempt
    from domain.sessions.end_reasons import EndReason
    from domain.sessions.ending import Ending
    from domain.sessions.session import (
        Outcome,
        SessionInput,
        SessionState,
        SessionStatus,
        TimelineEntry,
        WaitingFor,
    )
    from workflows.session_parts.search_attributes import (
        END_REASON,
        JOIN_ATTEMPTS,
        OUTCOME,
        STATE,
        WAITING_FOR,
        WAITING_SINCE,
    )

TIMELINE_LIMIT = 100
"""Entries kept."""
ENTRY_LIMIT = 300
"""Characters of one entry."""
DETAILS_LIMIT = 20_000
"""Bytes that Temporal allows for current details."""


class SessionStatusTracker:
    """Keeps the status of one session; every change is visible to operators at once.

    At once means: when the workflow next waits. What changes again before that is published once.
    """

    def __init__(self, request: SessionInput, now: datetime) -> None:
        self.status = SessionStatus(
            org=request.org,
            session_id=request.session_id,
            room_name=request.livekit_room,
            state=SessionState.STARTING,
            waiting_for=WaitingFor.ROOM,
            version=1,
            agent_id=request.config.agent_id,
            agent_name=request.agent_name,
            agent_version=request.agent_version,
            user_id=request.user_id,
            metadata=request.metadata,
            started_at=now,
        )
        self.combine_updates = False
        """Whether changes within one workflow task are published together; see `SHORT_HISTORY`."""
        self._shown = (SessionState.STARTING, WaitingFor.ROOM, 0)
        self._publication_due = False
        self._brief = False
        self._first_dispatch: datetime | None = None
        self._agent_lost_at: datetime | None = None
        """When the last agent was lost; None while there is one."""

    def log(self, text: str) -> None:
        """Add a line to the timeline."""
        status = self.status
        status.timeline.append(TimelineEntry(at=workflow.now(), text=text[:ENTRY_LIMIT]))
        # The beginning and the end say most; what repeats is in the middle.
        if len(status.timeline) > TIMELINE_LIMIT:
            del status.timeline[TIMELINE_LIMIT // 2]
        self._changed()

    def enter(self, state: SessionState, waiting_for: WaitingFor, *, briefly: bool = False) -> None:
        """Go on to a state, and say what it waits for.

        Args:
            state: the state.
            waiting_for: what it waits for.
            briefly: a step that is tried for a few seconds. It does not change the search
                attributes; if it takes longer, the state is entered again without this.
        """
        resumed = self._brief and not briefly
        self._brief = briefly and self.combine_updates
        if (self.status.state, self.status.waiting_for) != (state, waiting_for) or resumed:
            self.status.state = state
            self.status.waiting_for = waiting_for
            self._changed()

    def wait_for(self, waiting_for: WaitingFor) -> None:
        """Say what the present state waits for."""
        self.enter(self.status.state, waiting_for)

    def queued(self, position: int | None, seconds: float | None) -> None:
        """The session waits for a place on an agent server."""
        self.status.queue_position, self.status.queue_seconds = position, seconds
        self.enter(SessionState.QUEUED, WaitingFor.AGENT_CAPACITY)
        self._changed()

    def left_queue(self) -> None:
        """The session waits no more, whatever came of it."""
        self.status.queue_position = self.status.queue_seconds = None
        self._changed()

    def begin_attempt(self, number: int) -> None:
        """A dispatch attempt begins."""
        recovering = self.status.state is SessionState.RECOVERING
        self.status.attempt = number
        # The report of an agent that was replaced is not the one that this attempt owes.
        self.status.report_received = False
        self._first_dispatch = self._first_dispatch or workflow.now()
        self.enter(
            SessionState.RECOVERING if recovering else SessionState.JOINING, WaitingFor.DISPATCH
        )

    def dispatched(self, attempt: int) -> None:
        """LiveKit accepted a dispatch, which proves nothing yet."""
        self.status.dispatches += 1
        self.status.agent_dispatched = True
        self.log(f"attempt {attempt}: dispatched to {self.status.agent_name}")

    def agent_joined(self, attempt: Attempt, max_duration: float, waiting_for: WaitingFor) -> None:
        """The agent is proven in the room; the first time starts the clock of the call."""
        status, now = self.status, workflow.now()
        status.agent_identity = attempt.agent_identity
        status.foreign_agent = attempt.external
        status.agent_joined = True
        status.joined_attempt = attempt.number
        self._agent_lost_at = None
        status.joins += 1
        if status.joined_at is None:
            status.joined_at = now
            status.join_seconds = (now - (self._first_dispatch or now)).total_seconds()
            status.deadline = now + timedelta(seconds=max_duration)
        self.enter(SessionState.LIVE, waiting_for)
        self.log(f"attempt {attempt.number}: {attempt.agent_identity} is in the room, ready")

    def agent_lost(self, text: str) -> None:
        """The agent was lost in the middle of the call, and is to be replaced."""
        self._note_loss()
        self.enter(SessionState.RECOVERING, WaitingFor.RETRY)
        self.log(text)

    def agent_lost_without_caller(self, attempt: Attempt) -> None:
        """The agent was lost while the caller is away: it is replaced once the caller returns."""
        if self.status.agent_joined:
            self._note_loss()
            self.log(f"the agent of attempt {attempt.number} is lost: {attempt.problem}")

    def _note_loss(self) -> None:
        self.status.agent_joined = False
        self._agent_lost_at = self._agent_lost_at or workflow.now()

    def call_over(self, ending: Ending, *, waits: bool) -> None:
        """The call is over; the outcome follows, perhaps after a wait for the report."""
        status, now = self.status, workflow.now()
        left_at, lost_at = status.caller_left_at, self._agent_lost_at
        ended_at = {EndReason.CALLER_LEFT: left_at, EndReason.AGENT_LOST: lost_at}
        status.ended_at = max(ended_at.get(ending.reason) or now, status.joined_at or now)
        status.talk_seconds = status.talk_time(min(at for at in (now, left_at, lost_at) if at))
        status.end_reason, status.reason = ending.reason, ending.text
        self.enter(SessionState.ENDING, WaitingFor.REPORT, briefly=not waits)
        self.log(f"ending: {ending.text}")

    def archived(self, complete: bool) -> None:
        """The transcript is sealed."""
        self.status.archived = True
        self.log(f"transcript sealed, {'complete' if complete else 'without the report'}")

    def archive_deferred(self, reason: str) -> None:
        """MongoDB is down; another workflow seals the transcript when it is back."""
        self.status.archived = False
        self.log(f"the transcript is sealed later: {reason}")

    def summarised(self, summary: str) -> None:
        """Where the summary is as the session closes."""
        self.status.summary = summary
        self.log(f"summary {summary}")

    def room_deleted(self) -> None:
        """LiveKit confirmed that the room is gone, and everybody who was in it."""
        status = self.status
        status.room_deleted = True
        if status.caller_present:
            status.caller_present, status.caller_left_at = False, workflow.now()
        self.log("room deleted")

    def room_never_made(self) -> None:
        """The session ended before its room was made, or the name was another session's."""
        self.status.room_deleted = True
        self.log("there is no room of this session to delete")

    def close(self, ending: Ending) -> datetime:
        """Set the terminal state, once; returns when."""
        status = self.status
        outcome = ending.outcome or Outcome.FAILED
        now = workflow.now()
        status.outcome, status.end_reason, status.reason = outcome, ending.reason, ending.text
        status.closed_at = now
        self.enter(SessionState.CLOSED, WaitingFor.NOTHING)
        return now

    def touch(self) -> None:
        """Publish a change that was made to the status directly."""
        self._changed()

    def _changed(self) -> None:
        self.status.version += 1
        if not self.combine_updates:
            self._publish()
        elif not self._publication_due:
            self._publication_due = True
            asyncio.get_running_loop().call_soon(self._publish)

    def _publish(self) -> None:
        self._publication_due = False
        status = self.status
        shown = (status.state, status.waiting_for, status.attempt)
        if shown != self._shown and not self._brief:
            _upsert(*self._search_attributes())
            self._shown = shown
        workflow.set_current_details(self._details())

    def _search_attributes(self) -> list[SearchAttributeUpdate[Any]]:
        status = self.status
        found: list[SearchAttributeUpdate[Any]] = [
            STATE.value_set(status.state.value),
            WAITING_FOR.value_set(status.waiting_for.value),
            WAITING_SINCE.value_set(workflow.now()),
            JOIN_ATTEMPTS.value_set(status.attempt),
        ]
        if status.outcome and status.end_reason:
            found.append(OUTCOME.value_set(status.outcome.value))
            found.append(END_REASON.value_set(status.end_reason.value))
        return found

    def _details(self) -> str:
        status = self.status
        head = f"**{status.state.value}**, waiting for **{status.waiting_for.value}**"
        if status.outcome:
            head = f"**closed**: {status.outcome.value} ({status.end_reason})"
        facts = (
            f"attempt {status.attempt} of agent `{status.agent_name}`,"
            f" {status.dispatches} dispatches, {status.joins} joins, room `{status.room_name}`"
        )
        if status.queue_position:
            expected = "" if status.queue_seconds is None else f", about {status.queue_seconds:g} s"
            facts = f"position {status.queue_position} in the queue{expected}; {facts}"
        # The newest first: the UI shows a few lines before one has to scroll.
        newest_first = reversed(status.timeline)
        lines = [f"- {entry.at:%H:%M:%S} {entry.text}" for entry in newest_first]
        return _first_bytes("\n".join([head, "", facts, "", *lines]), DETAILS_LIMIT)


def _first_bytes(text: str, most: int) -> str:
    """As much of a text as fits into so many bytes of UTF-8."""
    return text.encode()[:most].decode(errors="ignore")


def _upsert(*updates: SearchAttributeUpdate[Any]) -> None:
    # The SDK leaves a type parameter of its own signature open.
    workflow.upsert_search_attributes(updates)  # pyright: ignore[reportUnknownMemberType]
