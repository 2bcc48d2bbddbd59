"""The events that follow from a session's status, its transcript and its summary."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from domain.ids import SessionKey
from domain.sessions.session import Outcome, SessionState, SessionStatus
from domain.transcripts.summary import Summary
from domain.transcripts.transcript import TranscriptHeader
from domain.webhooks.events import Event, EventType, event_id

NOT_FAILED = frozenset({Outcome.COMPLETED, Outcome.CALLER_NEVER_JOINED, Outcome.CANCELLED})
"""Outcomes in which Everline and the agent did their part; all others are failures."""


_AT_START = ("room_name", "agent_id", "agent_name", "agent_version", "started_at", "metadata")
_AT_JOIN = (*_AT_START, "joined_at", "join_seconds")
_AT_END = (*_AT_JOIN, "outcome", "end_reason", "ended_at", "closed_at")
"""What the events say of a session: only what was true when they happened."""


def events_of_session(status: SessionStatus) -> Iterator[Event]:
    """The events of a session so far, in the order in which they happened."""

    def event(kind: EventType, at: datetime, state: SessionState, fields: Iterable[str]) -> Event:
        data = {name: getattr(status, name) for name in fields} | {"state": state.value}
        return _event(SessionKey(status.org, status.session_id), kind, at, data)

    yield event(EventType.SESSION_STARTED, status.started_at, SessionState.STARTING, _AT_START)
    if status.joined_at:
        yield event(EventType.SESSION_AGENT_JOINED, status.joined_at, SessionState.LIVE, _AT_JOIN)
    if status.state is SessionState.CLOSED and status.outcome:
        at = status.closed_at or status.ended_at or status.started_at
        yield event(EventType.SESSION_ENDED, at, SessionState.CLOSED, _AT_END)
        if status.outcome not in NOT_FAILED:
            yield event(EventType.SESSION_FAILED, at, SessionState.CLOSED, _AT_END)


def transcript_ready(header: TranscriptHeader) -> Event:
    """A session's transcript is sealed; late turns make no further event."""
    return _event(
        SessionKey(header.org, header.session_id),
        EventType.TRANSCRIPT_READY,
        header.sealed_at,
        {
            "agent_id": header.agent_id,
            "complete": header.complete,
            "turn_count": header.turn_count,
            "digest": header.digest,
        },
    )


def summary_ready(summary: Summary) -> Event:
    """A session's summary is ready; each further revision is an event of its own."""
    return _event(
        SessionKey(summary.org, summary.session_id),
        EventType.SUMMARY_READY,
        summary.updated_at,
        {
            "status": summary.status.value,
            "revision": summary.revision,
            "summariser": summary.summariser,
            "transcript_digest": summary.transcript_digest,
        },
        revision=str(summary.revision) if summary.revision > 1 else "",
    )


def _event(
    key: SessionKey, kind: EventType, at: datetime, data: dict[str, Any], revision: str = ""
) -> Event:
    return Event(
        event_id=event_id(key, kind, revision),
        type=kind,
        org=key.org,
        session_id=key.session_id,
        at=at,
        data={
            "session_id": key.session_id,
            **{
                name: one.isoformat() if isinstance(one, datetime) else one
                for name, one in data.items()
            },
        },
    )
