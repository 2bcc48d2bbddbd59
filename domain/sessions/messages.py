"""The messages to a session's workflow: signals, updates and their answers.

Every signal carries an event id; one that arrives twice is handled once.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from domain.json_model import JsonModel, or_else
from domain.sessions.end_reasons import EndReason, ReportEnd
from domain.sessions.session import Outcome, Stage

LONGEST_EXTENSION = 86_400
"""Seconds."""
EVENT_ID_CHARS = 300


class Message(JsonModel):
    """Base of all signals."""

    event_id: str = Field(min_length=1, max_length=EVENT_ID_CHARS)


class EndRequest(Message):
    """Signal `end`: finish the call and close."""

    reason: Annotated[EndReason, or_else(EndReason.END_REQUESTED)] = EndReason.END_REQUESTED
    by: str | None = None
    """Who asked, for the timeline: an identity or a route, never a secret."""


class AgentFailed(Message):
    """Signal `agent_failed`: the agent of this attempt cannot start."""

    attempt: int
    job_id: str | None = None
    """The job that cannot start; the failure of one without the claim does not count."""
    reason: str = Field(max_length=500)
    retryable: bool = False
    """Whether another attempt could succeed without anybody changing anything."""


class AgentLost(Message):
    """Signal `agent_lost`: this attempt's agent is dead: its server says so, or is silent."""

    attempt: int
    reason: str = Field(max_length=500)
    job_id: str | None = None
    """The job that was lost; one that had not claimed the attempt is no loss to it."""
    unanswered: bool = False
    """Whether the caller had spoken to it, and it had not begun to answer."""
    undelivered_turn: str | None = None
    """Item id of its last turn that its agent server still has to deliver."""


def agent_lost(
    attempt: int,
    job_id: str,
    reason: str,
    *,
    unanswered: bool = False,
    undelivered_turn: str | None = None,
) -> AgentLost:
    """The one message about this job, whoever sends it first."""
    return AgentLost(
        event_id=f"lost:{attempt}:{job_id}",
        attempt=attempt,
        job_id=job_id,
        reason=reason,
        unanswered=unanswered,
        undelivered_turn=undelivered_turn,
    )


class ReportReceived(Message):
    """Signal `report_received`: a report is stored, or spooled at the agent; no text."""

    attempt: int | None
    """None for an agent that sends no attempt: the current one is meant."""
    digest: str
    end_reason: Annotated[ReportEnd, or_else(ReportEnd.AGENT_ENDED)]
    """One that only a newer agent knows is an end that the agent decided; it was not lost."""
    turn_count: int
    caller_turns: int | None = None
    """How many of the turns are the caller's; None from an older API."""
    stored: bool
    error: str | None = None
    unanswered: bool = False
    """Whether the caller had spoken to the agent without an answer."""
    undelivered_turn: str | None = None
    """Item id of its last turn, if the report is not stored but will be sent again."""


class ParticipantKind(StrEnum):
    """What a participant is to the session."""

    CALLER = "caller"
    AGENT = "agent"
    OTHER = "other"
    """Known to another version alone; it steers nothing."""


class ParticipantChange(StrEnum):
    """What happened to a participant or to the room."""

    JOINED = "joined"
    LEFT = "left"
    NOT_SEEN = "not_seen"
    """A check of the room did not find this connection. Unlike `left`, it may be found again."""
    NOT_CONNECTED = "not_connected"
    """It tried to join, and its connection failed: it neither came nor left."""
    ROOM_FINISHED = "room_finished"
    OTHER = "other"
    """Known to another version alone; it changes nothing."""


class ParticipantChanged(Message):
    """Signal `participant_changed`: from LiveKit's webhooks, in any order."""

    change: Annotated[ParticipantChange, or_else(ParticipantChange.OTHER)]
    identity: str | None = None
    sid: str | None = None
    """LiveKit's id of this one connection; a page reload brings a new one."""
    kind: Annotated[ParticipantKind, or_else(ParticipantKind.OTHER)] | None = None
    detail: str | None = None
    """LiveKit's disconnect reason."""


class PlaceChanged(Message):
    """Signal `place_changed`: how far a session is in the queue for a place on an agent server."""

    position: int = Field(ge=0)
    """0: a place is reserved for it."""
    seconds: float | None = None
    """How long it may still wait; None if that is not known."""


class AgentReady(JsonModel):
    """Update `agent_ready`, id `attempt:job`: an agent claims an attempt."""

    attempt: int = Field(ge=1)
    job_id: str = Field(min_length=1, max_length=200)
    identity: str = Field(min_length=1, max_length=200)
    agent_version: str | None = Field(default=None, max_length=200)


class ReadyAnswer(BaseModel):
    """The answer to a claim; a refused agent leaves."""

    accepted: bool
    reason: str | None = None
    remaining: float | None = None
    """Seconds until the session's maximum duration."""


class TimeLeft(BaseModel):
    """What an agent is told when it asks how long its call may still last."""

    remaining: float | None
    """Seconds until the session's maximum duration; None before the agent has joined."""


class WaitUntil(BaseModel):
    """Update `wait_until`: answers when the stage is reached or cannot be any more."""

    stage: Annotated[Stage, or_else(Stage.JOINED)]
    request_digest: str | None = None
    """Digest of the start request that waits; another one than the session's is refused."""


class Extend(JsonModel):
    """Update `extend`: move the maximum duration."""

    seconds: float = Field(gt=0, le=LONGEST_EXTENSION)
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=255)
    """The same key with the same seconds does it once; with others it is refused."""


class Redispatch(BaseModel):
    """Update `redispatch`: replace the agent now."""

    by: str | None = None


class Finalise(BaseModel):
    """Update `finalise`: stop waiting for the report and close."""

    by: str | None = None


class DeliverMessage(BaseModel):
    """Update `deliver`: a signal for a session that has had as many as Temporal allows."""

    end: EndRequest | None = None
    agent_failed: AgentFailed | None = None
    agent_lost: AgentLost | None = None
    report: ReportReceived | None = None
    participant: ParticipantChanged | None = None


class SessionResult(BaseModel):
    """What a closed session's workflow returns."""

    outcome: Annotated[Outcome, or_else(Outcome.FAILED)]
    end_reason: Annotated[EndReason, or_else(EndReason.AGENT_ENDED)]
    closed_at: datetime
    metadata: dict[str, str] = {}
    """The customer's own data."""
