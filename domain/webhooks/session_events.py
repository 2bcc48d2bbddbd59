"""Which events follow from what is known of a session, its transcript and its summary."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from domain.ids import SessionKey
from domain.sessions.session import Outcome, SessionState, SessionStatus
from domain.transcripts.summary import Summary
from domain.transcripts.transcript import TranscriptHeader
from domain.webhooks.events import Event, EventType, event_id

NOT_FAILED = frozenset({Outcome.COMPLETED, Outcome.CALLER_NEVER_JOINED, Outcome.CANCELLED})
"""Outcomes in which Everline and the agent did their part; every other one is a failure."""


def events_of_session(status: SessionStatus) -> Iterator[Event]:
    """The events that a session has had so far, in the order in which they happened."""
    yield _of(status, EventType.SESSION_STARTED, status.started_at)
    if status.joined_at:
        yield _of(status, EventType.SESSION_AGENT_JOINED, status.joined_at)
    if status.state is SessionState.CLOSED and status.outcome:
        at = status.closed_at or status.ended_at or status.started_at
        yield _of(status, EventType.SESSION_ENDED, at)
        if status.outcome not in NOT_FAILED:
            yield _of(status, EventType.SESSION_FAILED, at)


def _of(status: SessionStatus, kind: EventType, at: datetime) -> Event:
    key = SessionKey(status.org, status.session_id)
    return _event(key, kind, at, _session_data(status, kind))


def _session_data(status: SessionStatus, kind: EventType) -> dict[str, Any]:
    """What the event says of its session: only what was true when it happened."""
    data: dict[str, Any] = {
        "room_name": status.room_name,
        "agent_id": status.agent_id,
        "agent_name": status.agent_name,
        "agent_version": status.agent_version,
        "started_at": status.started_at,
    }
    if kind is EventType.SESSION_STARTED:
        return data | {"state": SessionState.STARTING.value}
    data |= {"joined_at": status.joined_at, "join_seconds": status.join_seconds}
    if kind is EventType.SESSION_AGENT_JOINED:
        return data | {"state": SessionState.LIVE.value}
    return data | {
        "state": SessionState.CLOSED.value,
        "outcome": status.outcome,
        "end_reason": status.end_reason,
        "ended_at": status.ended_at,
        "closed_at": status.closed_at,
    }


def transcript_ready(header: TranscriptHeader) -> Event:
    """A session's transcript is sealed; told once, also if late turns change it."""
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
    """A session's summary is ready; one that was asked for again is another event."""
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
        data={"session_id": key.session_id, **{name: _plain(one) for name, one in data.items()}},
    )


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
