"""LiveKit's webhooks, filtered before they become signals."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import structlog
from fastapi import Depends, Request
from pydantic import BaseModel

from adapters.livekit.signatures import WEBHOOK, verify_token
from adapters.livekit.webhooks import EgressResult, LiveKitEvent, receive_webhook
from api.dependencies import (
    LIVEKIT_CLOCK,
    ApiDependencies,
    Deps,
    LiveKitSignature,
    dependencies,
    signed_body,
)
from api.routing import Router, after
from domain.clocks import ClockSkew, correction
from domain.errors import Unauthenticated
from domain.ids import livekit_room_name, org_of_room
from domain.recordings.recording import RecordingState, recording_at
from domain.sessions.control import ATTEMPT_ATTRIBUTE
from domain.sessions.messages import ParticipantChange, ParticipantChanged, ParticipantKind
from domain.sessions.ports import NEVER_CALLERS, ON_BEHALF
from domain.sessions.rooms import owner_of_room

router = Router(tags=["livekit"])
log = structlog.get_logger()

_CHANGES = {
    "participant_joined": ParticipantChange.JOINED,
    "participant_left": ParticipantChange.LEFT,
    "participant_connection_aborted": ParticipantChange.NOT_CONNECTED,
}
_JOIN_FAILURE = "join_failure"
"""LiveKit's reason of a leave that had no join."""
_ROOM_DELETED = "room_deleted"
"""LiveKit's reason of each leave when a room is deleted; the event `room_finished` follows."""
EVENT = {
    "event": "participant_joined",
    "id": "EV_5o2bRkfSvEVk",
    "createdAt": "1896076800",
    "room": {"name": "acme.call-1"},
    "participant": {"identity": "ann", "kind": "STANDARD"},
}


async def _require_signature(request: Request) -> None:
    deps, signature = dependencies(request), request.headers.get("authorization", "")
    with _noting_rejection(deps):
        verify_token(deps.webhook_keys, signature, WEBHOOK)


@contextmanager
def _noting_rejection(deps: ApiDependencies) -> Generator[None]:
    """Remember why an event was refused, for `/health/agent`."""
    try:
        yield
    except Unauthenticated as error:
        deps.livekit_webhooks.rejected(datetime.now(UTC), error)
        raise


@after(_require_signature)
async def _signed_event(request: Request, deps: Deps, signature: LiveKitSignature) -> LiveKitEvent:
    body = await request.body()
    with _noting_rejection(deps):
        return await _read(deps, signature or "", body, datetime.now(UTC))


class Received(BaseModel):
    """Whether the event was passed on to a session."""

    forwarded: bool


@router.post(
    "/v1/livekit/webhook",
    # LiveKit's `WebhookEvent`.
    openapi_extra=signed_body(
        "application/webhook+json",
        {"type": "object", "examples": [EVENT], "additionalProperties": True},
    ),
)
async def receive_livekit_event(
    event: Annotated[LiveKitEvent, Depends(_signed_event)], deps: Deps
) -> Received:
    """Receive an event that LiveKit signed; a repeated one changes nothing."""
    now = datetime.now(UTC)
    deps.livekit_webhooks.received(now)
    if event.egress:
        return Received(forwarded=await _note_egress(deps, event.egress))
    owner = owner_of_room(event.room_metadata or "")
    change = change_of(event)
    if owner is None or change is None:
        return Received(forwarded=False)
    if not (event.room or "").startswith(livekit_room_name(owner.key.org, "")):
        log.warning("a room's metadata and its name have different orgs", room=event.room)
        return Received(forwarded=False)
    # Rooms of older releases name no installation; their calls continue during an upgrade.
    if await deps.control.of_another_installation(owner):
        log.debug("another installation's room", room=event.room, installation=owner.installation)
        return Received(forwarded=False)
    if change.change is ParticipantChange.JOINED and change.kind is ParticipantKind.AGENT:
        # Our own agents' joins are no change.
        deps.livekit_webhooks.external_agent(now)
    return Received(forwarded=await deps.presence_changes.tell(owner.key, change))


async def _read(deps: ApiDependencies, signature: str, body: bytes, now: datetime) -> LiveKitEvent:
    """The event; if LiveKit's clock is known to differ, its times are compared with that clock."""
    try:
        return receive_webhook(deps.webhook_keys, signature, body, now)
    except ClockSkew:
        clock = deps.clocks.get(LIVEKIT_CLOCK)
        ahead = correction(await clock.ahead()) if clock else 0.0
        if not ahead:
            raise
        return receive_webhook(deps.webhook_keys, signature, body, now + timedelta(seconds=ahead))


async def _note_egress(deps: ApiDependencies, result: EgressResult) -> bool:
    """Link a recording that LiveKit's egress has finished, if it belongs to one of our rooms."""
    found = recording_at(result.filename)
    if found is None or deps.archive is None or org_of_room(result.room) != found[0].org:
        return False
    key, recording = found
    finished = recording.model_copy(
        update={
            "state": RecordingState.STORED if result.complete else RecordingState.FAILED,
            "error": result.error,
            "bytes": result.bytes,
            "started_at": result.started_at,
        }
    )
    await deps.archive.transcripts.record_recording(key, finished, datetime.now(UTC))
    return True


def change_of(event: LiveKitEvent) -> ParticipantChanged | None:
    """The signal for an event; None if no session needs it."""
    event_id = f"livekit:{event.id}"
    if event.event == "room_finished":
        return ParticipantChanged(event_id=event_id, change=ParticipantChange.ROOM_FINISHED)
    change = _CHANGES.get(event.event)
    if change is None or event.participant_kind is None:
        return None
    if change is ParticipantChange.LEFT and event.disconnect_reason == _JOIN_FAILURE:
        change = ParticipantChange.NOT_CONNECTED
    caller = event.participant_kind not in NEVER_CALLERS
    if caller and event.disconnect_reason == _ROOM_DELETED:
        return None
    if not caller and not _concerns_agents(event, change):
        return None
    return ParticipantChanged(
        event_id=event_id,
        change=change,
        identity=event.identity,
        sid=event.participant_sid,
        kind=ParticipantKind.CALLER if caller else ParticipantKind.AGENT,
        detail=event.disconnect_reason,
    )


def _concerns_agents(event: LiveKitEvent, change: ParticipantChange) -> bool:
    """Whether a session has to know of this event of a participant that is no caller.

    Our agent's join is proven by its claim and by polling; only of another agent's it is told. An
    external agent hangs up by deleting its room, which ours does not.
    """
    if event.participant_kind != "agent" or change is ParticipantChange.NOT_CONNECTED:
        return False
    # One that publishes on behalf of an agent (an avatar) is no agent of its own.
    ours = {ATTEMPT_ATTRIBUTE, ON_BEHALF} & event.participant_attributes.keys()
    left = change is ParticipantChange.LEFT and event.disconnect_reason != _ROOM_DELETED
    return left or not ours
