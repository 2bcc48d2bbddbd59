"""The life of a session: its states, how it can end, its budgets, and what can be seen of it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from domain.agents.config import AgentConfig
from domain.agents.places import PlaceState
from domain.ids import Id, SessionKey
from domain.json_model import JsonModel, or_else
from domain.sessions.end_reasons import EndReason


class SessionState(StrEnum):
    """How far a session is; only `closed` is terminal."""

    STARTING = "starting"
    QUEUED = "queued"
    JOINING = "joining"
    LIVE = "live"
    RECOVERING = "recovering"
    ENDING = "ending"
    PERSISTING = "persisting"
    SUMMARISING = "summarising"
    CLOSING = "closing"
    CLOSED = "closed"

    def call_is_over(self) -> bool:
        """Whether the call itself has ended, and the session only finishes its work."""
        return self in _AFTER_THE_CALL


_AFTER_THE_CALL = (
    SessionState.ENDING,
    SessionState.PERSISTING,
    SessionState.SUMMARISING,
    SessionState.CLOSING,
    SessionState.CLOSED,
)


class Outcome(StrEnum):
    """How a session ended; set once, never changed."""

    COMPLETED = "completed"
    REPORT_MISSING = "report_missing"
    NO_CAPACITY = "no_capacity"
    AGENT_NEVER_JOINED = "agent_never_joined"
    AGENT_FAILED = "agent_failed"
    AGENT_LOST = "agent_lost"
    CALLER_NEVER_JOINED = "caller_never_joined"
    ROOM_LOST = "room_lost"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Stage(StrEnum):
    """What a start can wait for; each includes the ones before it."""

    ACCEPTED = "accepted"
    DISPATCHED = "dispatched"
    JOINED = "joined"


class WaitingFor(StrEnum):
    """What an open session waits for, as operators search for it (`SessionWaitingFor`)."""

    ROOM = "room"
    AGENT_CAPACITY = "agent_capacity"
    DISPATCH = "dispatch"
    AGENT_JOIN = "agent_join"
    AGENT_READY = "agent_ready"
    RETRY = "retry"
    CALLER = "caller"
    CALL_END = "call_end"
    CALLER_RETURN = "caller_return"
    REPORT = "report"
    ARCHIVE = "archive"
    SUMMARY = "summary"
    ROOM_DELETION = "room_deletion"
    NOTHING = "nothing"


LONGEST_CALL = 86_400.0
"""Seconds that a call may last, however often it is extended."""
QUICKEST_CALLER_CHECK, SLOWEST_CALLER_CHECK = 5.0, 30.0
"""Bounds of `SessionLimits.caller_check_interval`, in seconds."""
LONGEST_JOIN_PAUSE = 60.0
"""Seconds between two attempts, however many came before."""


LONGEST_QUEUE = 600.0
"""Seconds that a session may wait in the queue at most."""


class SessionLimits(JsonModel):
    """Budgets of a session, all in seconds unless said otherwise. Every wait has one."""

    queue_seconds: float = Field(default=30, ge=0, le=LONGEST_QUEUE)
    """How long the session waits for a free place on an agent server; 0 refuses it at once."""
    join_timeout: float = Field(default=7.5, gt=0, le=120)
    """Dispatch accepted until the agent participant is ACTIVE, per attempt."""
    ready_timeout: float = Field(default=20, gt=0, le=300)
    """Participant ACTIVE until our agent worker's claim, per attempt."""
    join_attempts: int = Field(default=3, ge=1, le=10)
    """Dispatch attempts to get an agent in, at the start and at each replacement."""
    join_backoff: float = Field(default=1, ge=0, le=60)
    """Pause before the second attempt; doubled before each further one, up to a minute."""
    max_replacements: int = Field(default=3, ge=0, le=20)
    """How often a lost agent is replaced before the session ends as `agent_lost`."""
    caller_wait: float = Field(default=60, gt=0, le=3600)
    """How long the agent waits for a caller who has never come."""
    caller_return: float = Field(default=30, ge=0, le=600)
    """How long a caller whose connection was lost may be away before the call is over."""
    caller_hangup_return: float | None = Field(default=None, ge=0, le=600)
    """How long a caller who left by itself (a hang-up, or a page reload) may be away before the
    call is over, at most `caller_return`; None: that long."""
    max_duration: float = Field(default=3600, gt=0, le=LONGEST_CALL)
    """From the moment the agent is proven in the room."""
    report_grace: float = Field(default=30, ge=0, le=600)
    """How long an ended call waits for the agent's report."""
    lost_report_grace: float = Field(default=3, ge=0, le=60)
    """How long an agent that left waits for its report before it counts as lost."""
    archive_wait: float = Field(default=30, gt=0, le=600)
    """How long the close waits for MongoDB before a child workflow takes over."""
    summary_wait: float = Field(default=30, ge=0, le=600)
    """How long the close waits for the summary, which goes on without it."""
    room_deletion_wait: float = Field(default=60, gt=0, le=600)
    """How long the close waits for the room's deletion, which goes on without it."""

    def absence(self, *, hung_up: bool) -> float:
        """Seconds that a caller may be away, after a hang-up or after a lost connection."""
        if hung_up and self.caller_hangup_return is not None:
            return min(self.caller_hangup_return, self.caller_return)
        return self.caller_return

    def caller_check_interval(self) -> float:
        """Seconds between two checks of the room while the caller is believed to be in it.

        Short enough that `departure_timeout` never closes a room before its caller is missed.
        """
        return min(max(self.caller_return, QUICKEST_CALLER_CHECK), SLOWEST_CALLER_CHECK)

    def join_budget(self) -> float:
        """Longest time that all attempts together may take, with their pauses."""
        pauses = sum(self.join_pause(tries) for tries in range(1, self.join_attempts))
        return self.join_attempts * (self.join_timeout + self.ready_timeout) + pauses

    def join_pause(self, tries: int) -> float:
        """Pause before the next attempt, after so many."""
        return min(self.join_backoff * 2 ** (tries - 1), LONGEST_JOIN_PAUSE)

    def empty_timeout(self) -> int:
        """LiveKit's `empty_timeout`: longer than all that may pass before a first caller."""
        return int(self.queue_seconds + self.join_budget() + self.caller_wait) + 60

    def departure_timeout(self) -> int:
        """LiveKit's `departure_timeout`: longer than a caller's absence plus the report's grace.

        LiveKit closes a room at that time although the agent is still in it.
        """
        return int(self.caller_return + self.report_grace) + 60


class GivenLimits(SessionLimits):
    """Limits as a client names them: an unknown one is refused, so that a typo is not silent.

    A workflow takes them as they are: it may have been started by a newer Everline.
    """

    model_config = ConfigDict(extra="forbid")

    # A session that an older Everline began names none, and keeps the time that it began with.
    caller_hangup_return: float | None = Field(default=5, ge=0, le=600)
    """As in `SessionLimits`."""


class SessionInput(BaseModel):
    """All that a session's workflow needs, complete at the start and encrypted in its input.

    Secrets inside `config` are plain strings here: a masking type would arrive as asterisks.
    """

    org: Id
    session_id: Id
    room_name: Id
    """The org's own name of the room, without the org."""
    livekit_room: str
    user_id: str | None = None
    caller_identity: str
    agent_name: str
    """LiveKit's agent name to dispatch to."""
    config: AgentConfig
    model: str | None = None
    """The language model, if the start named a model or a voice; the metadata carries both then."""
    voice: str | None = None
    """The voice that is heard, likewise."""
    no_agent: str | None = None
    """Why no agent would come when it started, with the cure; None: one would, or not known."""
    agent_version: int | None = None
    limits: SessionLimits = SessionLimits()
    request_digest: str
    """Digest of the request, to tell a retry from another request under the same key."""
    archive: bool = True
    """Whether MongoDB is configured; without it nothing is persisted or summarised."""
    slot: bool = False
    """Whether the session holds a slot of its org's quota, to be freed when it ends."""
    place: Annotated[PlaceState, or_else(PlaceState.RESERVED)] | None = None
    """What the session holds on the agent servers, to be released when its call is over; None if
    nothing was reserved, because their capacity is not known."""
    metadata: dict[str, str] = {}
    """The customer's own data."""

    @property
    def key(self) -> SessionKey:
        """What identifies this session."""
        return SessionKey(self.org, self.session_id)


class TimelineEntry(BaseModel):
    """One line of a session's timeline, as operators read it. Never holds transcript text."""

    at: datetime
    text: str


class SessionStatus(BaseModel):
    """What can be seen of a session at one moment: the answer of the `status` query."""

    org: str
    session_id: str
    room_name: str
    """LiveKit's name of the room."""
    state: Annotated[SessionState, or_else(SessionState.LIVE)]
    """An unknown one is not over: only `closed` is."""
    waiting_for: Annotated[WaitingFor, or_else(WaitingFor.NOTHING)]
    version: int
    """Grows with every change of the status."""
    agent_id: str | None = None
    agent_name: str
    agent_version: int | None = None
    user_id: str | None = None
    metadata: dict[str, str] = {}
    """The customer's own data."""
    outcome: Annotated[Outcome, or_else(Outcome.FAILED)] | None = None
    end_reason: Annotated[EndReason, or_else(EndReason.AGENT_ENDED)] | None = None
    reason: str | None = None
    """The end in a sentence for a person."""
    queue_position: int | None = None
    """Position in the queue for a place on an agent server, from 1; None outside the queue."""
    queue_seconds: float | None = None
    """How long it may still wait in the queue; None if that is not known."""
    attempt: int = 0
    """Number of the current dispatch attempt; 0 before the first."""
    joined_attempt: int = 0
    """The attempt whose agent joined last: a report without a token is that agent's."""
    dispatches: int = 0
    joins: int = 0
    agent_dispatched: bool = False
    agent_joined: bool = False
    agent_identity: str | None = None
    foreign_agent: bool = False
    caller_present: bool = False
    caller_joined_at: datetime | None = None
    """When the caller was in the room first."""
    caller_left_at: datetime | None = None
    """When the caller left last; None while the caller is there, or never came."""
    join_seconds: float | None = None
    """First dispatch until the agent was proven in the room."""
    started_at: datetime
    joined_at: datetime | None = None
    ended_at: datetime | None = None
    """When the call ended: not when the wait for a caller's return, or for an agent, was over."""
    talk_seconds: float | None = None
    """From the moment when caller and agent were both there until the first of them was gone for
    good; None before the call's end."""
    closed_at: datetime | None = None
    deadline: datetime | None = None
    """When the maximum duration ends the call."""
    report_received: bool = False
    """Whether the current attempt's report has come."""
    archived: bool | None = None
    """Whether the transcript is stored; None while that is not decided or without MongoDB."""
    summary: str | None = None
    """Status of the summary: pending, ready, failed; None without one."""
    room_deleted: bool = False
    """Whether no room of this session is left: it was deleted, or never made."""
    timeline: list[TimelineEntry] = []

    def has_reached(self, stage: Stage) -> bool:
        """Whether a stage is reached, or cannot be reached any more."""
        if self.state.call_is_over():
            return True
        if stage is Stage.JOINED:
            return self.joins > 0
        return stage is Stage.ACCEPTED or self.agent_dispatched

    def seconds_left(self, now: datetime) -> float | None:
        """How long the call may still last; 0 after its end, None before its agent has joined."""
        if self.ended_at is not None:
            return 0.0
        return max((self.deadline - now).total_seconds(), 0.0) if self.deadline else None

    def talk_time(self, until: datetime) -> float:
        """Seconds in which caller and agent were both there, if the last of it was at `until`."""
        if self.joined_at is None or self.caller_joined_at is None:
            return 0.0
        began = max(self.joined_at, self.caller_joined_at)
        return max((until - began).total_seconds(), 0.0)

    def without_timeline(self) -> "SessionStatus":
        """The same, short enough for every answer to an update."""
        return self.model_copy(update={"timeline": []})


def closed_from_outside(status: SessionStatus, closed_at: datetime | None = None) -> SessionStatus:
    """What a session is whose workflow was closed from outside, by what it last said of itself.

    `closed_at` is when the workflow was closed; None if that is not known any more.
    """
    closed = status.closed_at or closed_at
    ended = status.ended_at or closed or status.joined_at or status.started_at
    left = status.caller_left_at or ended
    talked = status.talk_time(left) if status.talk_seconds is None else status.talk_seconds
    return status.model_copy(
        update={
            "state": SessionState.CLOSED,
            "waiting_for": WaitingFor.NOTHING,
            "outcome": Outcome.FAILED,
            "end_reason": EndReason.FAILED,
            "reason": "the session's workflow was closed from outside, for instance terminated",
            "ended_at": ended,
            "closed_at": closed or ended,
            "talk_seconds": talked,
            "caller_present": False,
            "caller_left_at": left if status.caller_joined_at else None,
            # Above every version that the workflow itself can have written before it was closed.
            "version": status.version + 1_000,
        }
    )
