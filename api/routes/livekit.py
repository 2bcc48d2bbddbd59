"""LiveKit's webhooks, filtered before they become signals."""

from datetime import UTC, datetime

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel

from adapters.livekit.webhooks import EgressResult, LiveKitEvent, receive_webhook
from api.dependencies import ApiDependencies, Deps, LiveKitSignature, signed_body
from domain.errors import Unauthenticated
from domain.ids import livekit_room_name, org_of_room
from domain.recordings.recording import RecordingState, recording_at
from domain.sessions.messages import ParticipantChange, ParticipantChanged, ParticipantKind
from domain.sessions.rooms import owner_of_room

router = APIRouter(tags=["livekit"])
log = structlog.get_logger()

_CALLERS = ("standard", "sip")
EVENT = {
    "event": "participant_joined",
    "id": "EV_5o2bRkfSvEVk",
    "createdAt": "1896076800",
    "room": {"name": "acme.call-1"},
    "participant": {"identity": "ann", "kind": "STANDARD"},
}


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
    request: Request, deps: Deps, signature: LiveKitSignature
) -> Received:
    """Receive an event that LiveKit signed; a repeated one changes nothing."""
    body = await request.body()
    now = datetime.now(UTC)
    try:
        event = receive_webhook(deps.webhook_keys, signature or "", body, now)
    except Unauthenticated as error:
        deps.livekit_webhooks.rejected(now, error)
        raise
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
    return Received(forwarded=await deps.sessions.signal(owner.key, change))


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
    if event.event not in ("participant_joined", "participant_left"):
        return None
    joined = event.event == "participant_joined"
    caller = event.participant_kind in _CALLERS
    # An agent's join is proven by its claim and by polling, not by a webhook.
    if not caller and (joined or event.participant_kind != "agent"):
        return None
    return ParticipantChanged(
        event_id=event_id,
        change=ParticipantChange.JOINED if joined else ParticipantChange.LEFT,
        identity=event.identity,
        sid=event.participant_sid,
        kind=ParticipantKind.CALLER if caller else ParticipantKind.AGENT,
        detail=event.disconnect_reason,
    )
