"""Lists of transcripts: filters, order, and the line of one transcript."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from domain.errors import InvalidInput
from domain.json_model import or_else
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState, SessionStatus
from domain.transcripts.search_terms import MAX_QUERY_TERMS, terms_of
from domain.transcripts.summary import Summary, SummaryStatus
from domain.transcripts.transcript import Role, TranscriptHeader, Turn


class TranscriptState(StrEnum):
    """How complete a transcript is."""

    LIVE = "live"
    """The call is in progress or closing."""
    PARTIAL = "partial"
    """Only the streamed turns: the report of the last attempt never arrived."""
    COMPLETE = "complete"


class SortField(StrEnum):
    """Fields that a list can be sorted by."""

    STARTED_AT = "startedAt"
    ENDED_AT = "endedAt"
    DURATION = "duration"


class SortOrder(StrEnum):
    """The sort direction."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class TranscriptLine(BaseModel):
    """One transcript in a list; statistics are computed from these lines."""

    org: str
    session_id: str
    agent: str
    """The saved agent's id; for a session without one, the agent's name. Lists filter by it."""
    agent_id: str | None = None
    """The saved agent's id; None for a session without one."""
    agent_name: str | None = None
    """The name that its agent workers register with; None without a record."""
    agent_version: int | None = None
    user_id: str | None = None
    room_name: str | None = None
    """LiveKit's name of the room."""
    state: Annotated[TranscriptState, or_else(TranscriptState.PARTIAL)]
    outcome: Annotated[Outcome, or_else(Outcome.FAILED)] | None = None
    end_reason: Annotated[EndReason, or_else(EndReason.AGENT_ENDED)] | None = None
    started_at: datetime
    joined_at: datetime | None = None
    ended_at: datetime
    duration_seconds: float = 0
    """Talk time: from the moment when caller and agent were both there until the first of them was
    gone for good; 0 if they never were."""
    turn_count: int = 0
    user_turns: int = 0
    agent_turns: int = 0
    interruptions: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    attempts: int = 0
    """Dispatch attempts."""
    joins: int = 0
    join_seconds: float | None = None
    """First dispatch until the agent was proven in the room."""
    summary: Annotated[SummaryStatus, or_else(SummaryStatus.FAILED)] | None = None
    cost: float | None = None
    """Estimate in US dollars; None if unknown."""
    response_seconds: float | None = None
    """Median time from the end of the caller's speech to the agent's first audio."""
    recordings: int = 0
    metadata: dict[str, str] = {}
    """The customer's own data; empty without a record."""
    updated_at: datetime

    @model_validator(mode="before")
    @classmethod
    def _of_an_older_release(cls, stored: Any) -> Any:
        # Its lines do not say whether `agent` is an id or a name.
        return {"agent_id": stored.get("agent"), **stored}


class TranscriptFilter(BaseModel):
    """A filter of an org's transcripts; all conditions that are set must hold."""

    agent: str | None = None
    user_id: str | None = None
    outcome: Outcome | None = None
    end_reason: EndReason | None = None
    state: TranscriptState | None = None
    summary: SummaryStatus | None = None
    has_summary: bool | None = None
    """Whether a summary is ready."""
    started_from: datetime | None = None
    """Inclusive."""
    started_to: datetime | None = None
    """Exclusive."""
    min_duration: float | None = Field(default=None, ge=0)
    """Seconds, inclusive, as is the maximum."""
    max_duration: float | None = Field(default=None, ge=0)
    metadata: dict[str, str] = {}
    """The session has all of these entries."""
    terms: list[str] = []
    """Search terms; a transcript must contain all of them."""


class TranscriptOrder(BaseModel):
    """The order of a list; equal values are sorted by session id."""

    field: SortField = SortField.STARTED_AT
    order: SortOrder = SortOrder.DESCENDING


_OF_STATUS = {
    *("agent_name", "agent_version", "user_id", "room_name", "outcome", "end_reason"),
    *("joined_at", "joins", "join_seconds", "metadata"),
}
_OF_HEADER = {"interruptions", "tool_calls", "tool_errors"}


def line_of(
    status: SessionStatus | None,
    header: TranscriptHeader | None,
    summary: Summary | None,
    turns: Sequence[Turn],
) -> TranscriptLine | None:
    """The line of a session from its stored parts; None while it is not listed.

    A session is listed once its transcript is sealed or it is closed: a terminated workflow never
    seals its transcript, which must not be lost.
    """
    return described(status, header, summary, turns) if header or _is_closed(status) else None


def described(
    status: SessionStatus | None,
    header: TranscriptHeader | None,
    summary: Summary | None,
    turns: Sequence[Turn],
) -> TranscriptLine:
    """The line of a transcript that has a record or a header, even while the call is live."""
    known = header or status
    assert known is not None, "a transcript has a record or a header"
    times = [turn.created_at for turn in turns]
    # Without a record, the earliest known time stands for the start.
    started = (
        status.started_at if status else min(times + ([header.sealed_at] if header else times))
    )
    ended = (status and (status.ended_at or status.closed_at)) or max([*times, started])
    response = header.latency.e2e if header and header.latency else None
    attempts = header.attempts if header else 0
    agent_id = (header and header.agent_id) or (status and status.agent_id) or None
    state = TranscriptState.PARTIAL if header or _is_closed(status) else TranscriptState.LIVE
    return TranscriptLine(
        **(status.model_dump(include=_OF_STATUS) if status else {}),
        **(header.model_dump(include=_OF_HEADER) if header else {}),
        org=known.org,
        session_id=known.session_id,
        agent=agent_id or (status and status.agent_name) or "",
        agent_id=agent_id,
        state=TranscriptState.COMPLETE if header and header.complete else state,
        started_at=started,
        ended_at=ended,
        duration_seconds=_talk_seconds(status, ended),
        turn_count=len(turns),
        user_turns=sum(turn.role is Role.USER for turn in turns),
        agent_turns=sum(turn.role is Role.ASSISTANT for turn in turns),
        attempts=status.attempt if status else attempts,
        summary=summary.status if summary else None,
        cost=header.cost.total if header and header.cost else None,
        response_seconds=response.p50 if response else None,
        recordings=len(header.recordings) if header else 0,
        updated_at=header.updated_at if header else ended,
    )


def _is_closed(status: SessionStatus | None) -> bool:
    return status is not None and status.state is SessionState.CLOSED


def search_terms_of_query(query: str) -> list[str]:
    """The terms of a search query.

    Raises:
        InvalidInput: it has none, or too many.
    """
    terms = terms_of([query])
    if not terms:
        raise InvalidInput(
            "the query has no searchable word",
            field="q",
            cure="use a word that is not in every transcript",
        )
    if len(terms) > MAX_QUERY_TERMS:
        raise InvalidInput(
            f"the query has {len(terms)} words", field="q", cure=f"use up to {MAX_QUERY_TERMS}"
        )
    return terms


def _talk_seconds(status: SessionStatus | None, ended: datetime) -> float:
    if status is None or status.joined_at is None:
        return 0
    if status.talk_seconds is not None:
        return status.talk_seconds
    # A record of an older release does not say when the caller was there.
    return max((ended - status.joined_at).total_seconds(), 0)
