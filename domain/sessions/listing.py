"""Lists of sessions: what can be asked for, and one line of the answer."""

from datetime import datetime, timedelta

from pydantic import BaseModel

from domain.ids import Id
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import (
    LONGEST_QUEUE,
    Outcome,
    SessionState,
    SessionStatus,
    WaitingFor,
)

STUCK_AFTER = timedelta(seconds=90)
"""An open session that waits for a machine for longer than this is stuck: the default budgets of
all such waits are shorter. The time that it may wait in the queue comes on top."""

WAITS_FOR_PEOPLE = (WaitingFor.CALLER, WaitingFor.CALL_END, WaitingFor.CALLER_RETURN)
"""What may take long without anything being wrong."""


class SessionFilter(BaseModel):
    """Which sessions of an org; every condition that is set has to hold."""

    state: SessionState | None = None
    outcome: Outcome | None = None
    agent: Id | None = None
    """The saved agent's id; for a session without one, the agent's name."""
    started_after: datetime | None = None
    started_before: datetime | None = None
    metadata: dict[str, str] = {}
    """The session has all of these entries."""
    stuck: bool = False
    """Only open sessions that wait for a machine for too long; see `is_stuck`."""

    def fits_metadata(self, metadata: dict[str, str]) -> bool:
        """Whether a session with this metadata fits."""
        return self.metadata.items() <= metadata.items()

    @property
    def closed_ones(self) -> bool:
        """Whether a session that is over can fit."""
        return not self.stuck and self.state in (None, SessionState.CLOSED)


class SessionLine(BaseModel):
    """One session in a list."""

    session_id: str
    room_name: str
    """LiveKit's name of the room."""
    agent: str
    """The saved agent's id; for a session without one, the agent's name."""
    state: SessionState
    waiting_for: WaitingFor
    waiting_since: datetime | None = None
    """Of an open session; None if that is not known."""
    stuck: bool = False
    outcome: Outcome | None = None
    end_reason: EndReason | None = None
    attempt: int = 0
    started_at: datetime
    closed_at: datetime | None = None
    metadata: dict[str, str] = {}
    """The customer's own data."""


class SessionPage(BaseModel):
    """Part of a list; `next` is where the following part begins, None at the end."""

    sessions: list[SessionLine]
    next: str | None = None


def line_of(status: SessionStatus) -> SessionLine:
    """The line of a session that is recorded."""
    return SessionLine(
        session_id=status.session_id,
        room_name=status.room_name,
        agent=status.agent_id or status.agent_name,
        state=status.state,
        waiting_for=status.waiting_for,
        outcome=status.outcome,
        end_reason=status.end_reason,
        attempt=status.attempt,
        started_at=status.started_at,
        closed_at=status.closed_at,
        metadata=status.metadata,
    )


def is_stuck(
    waiting_for: WaitingFor,
    since: datetime | None,
    now: datetime,
    queue_seconds: float | None = None,
) -> bool:
    """Whether an open session waits for a machine for too long.

    `queue_seconds` is how long it may wait in the queue; None if that is not known.
    """
    if since is None or waiting_for in WAITS_FOR_PEOPLE:
        return False
    queued = waiting_for is WaitingFor.AGENT_CAPACITY
    allowed = LONGEST_QUEUE if queue_seconds is None else queue_seconds
    return now - since > STUCK_AFTER + timedelta(seconds=allowed if queued else 0)
