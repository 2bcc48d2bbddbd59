"""Verifies and parses LiveKit's webhooks."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from google.protobuf import json_format
from livekit.protocol.webhook import WebhookEvent
from pydantic import BaseModel

from adapters.livekit.egress import EgressResult, egress_result
from adapters.livekit.kinds import disconnect_reason, participant_kind
from adapters.livekit.signatures import CLOCK_SKEW, WEBHOOK, verify_body
from domain.clocks import ClockSkew
from domain.errors import InvalidInput

MAX_AGE = timedelta(minutes=5)
"""Older events are refused; checking the room shows what they reported."""


class LiveKitEvent(BaseModel):
    """The part of a LiveKit event that sessions need.

    Events can arrive repeatedly, with the same `id`, and in any order.
    """

    id: str
    event: str
    """`room_started`, `room_finished`, `participant_joined`, `participant_left` …"""
    created_at: datetime
    room: str | None = None
    """LiveKit's full name of the room."""
    room_sid: str | None = None
    room_metadata: str | None = None
    identity: str | None = None
    participant_sid: str | None = None
    participant_kind: str | None = None
    """As in `domain.sessions.ports.Participant.kind`."""
    participant_attributes: dict[str, str] = {}
    disconnect_reason: str | None = None
    egress: EgressResult | None = None
    """The result of a recording, in `egress_ended`."""


def receive_webhook(
    keys: Mapping[str, str], authorization: str, body: bytes, now: datetime
) -> LiveKitEvent:
    """Read a webhook that LiveKit signed; for the arguments, see `verify_body`.

    Raises:
        ClockSkew: the signature is of another time than `now`, or the event is older than
            `MAX_AGE`, or from the future.
        Unauthenticated: the signature is invalid.
        InvalidInput: the body is signed, but is not a LiveKit event.
    """
    verify_body(keys, authorization, body, WEBHOOK, now=now.timestamp())
    event = _parse(body)
    created = _time_of(event)
    if now - created > MAX_AGE or created - now > CLOCK_SKEW:
        raise ClockSkew("LiveKit", (created - now).total_seconds(), field="createdAt")
    return _event(event, created)


def _parse(body: bytes) -> WebhookEvent:
    try:
        event = json_format.Parse(body, WebhookEvent(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("the body is not a LiveKit event", field="body") from None
    if not event.event or not event.id:
        raise InvalidInput("the body is a LiveKit event without its name or id", field="body")
    return event


def _time_of(event: WebhookEvent) -> datetime:
    try:
        return datetime.fromtimestamp(event.created_at, UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidInput("not a time", field="createdAt", cure="send Unix seconds") from None


def _event(event: WebhookEvent, created: datetime) -> LiveKitEvent:
    room = event.room if event.HasField("room") else None
    participant = event.participant if event.HasField("participant") else None
    return LiveKitEvent(
        id=event.id,
        event=event.event,
        created_at=created,
        room=room.name if room else None,
        room_sid=room.sid if room else None,
        room_metadata=room.metadata if room else None,
        identity=participant.identity if participant else None,
        participant_sid=participant.sid if participant else None,
        participant_kind=participant_kind(participant.kind) if participant else None,
        participant_attributes=dict(participant.attributes) if participant else {},
        disconnect_reason=disconnect_reason(participant.disconnect_reason) if participant else None,
        egress=egress_result(event.egress_info) if event.event == "egress_ended" else None,
    )
