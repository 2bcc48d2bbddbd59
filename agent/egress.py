"""The recording of a call by LiveKit's egress service, where one is there."""

import asyncio
import os
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp
import structlog
from livekit import api
from livekit.protocol import egress
from livekit.protocol import room as rooms

log = structlog.stdlib.get_logger(__name__)

ANSWER_SECONDS = 5.0
"""How long LiveKit may take; its client's own time limit is not kept.

Without a free service LiveKit looks for one for about 24 s; given up, it stops looking.
"""

START_SECONDS = 60.0
"""How long the service may take from its word to its place in the room."""


class EgressRefused(Exception):
    """LiveKit cannot record the room; the message says why."""


async def record_room(lk: api.LiveKitAPI, room: str, storage: str, path: str) -> str | None:
    """Have a room recorded until it closes, its sound alone.

    Args:
        lk: LiveKit's server API.
        room: LiveKit's full name of the room.
        storage: URL of the storage of recordings, `file://` or `s3://`.
        path: where the recording is to lie below it.

    Returns:
        LiveKit's id of the recording that was begun; None if the room is being recorded already, as
        when this agent replaces another one.

    Raises:
        EgressRefused: there is no egress service, or it does not take it.
    """
    order = egress.RoomCompositeEgressRequest(
        room_name=room,
        audio_only=True,
        audio_mixing=egress.AudioMixing.DUAL_CHANNEL_AGENT,
        file_outputs=[_output(storage, path)],
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            if await _is_recorded(lk, room):
                return None
            info = await lk.egress.start_room_composite_egress(order)
    except TimeoutError:
        raise EgressRefused(f"no answer within {ANSWER_SECONDS:g} s") from None
    except api.TwirpError as error:
        # Without its message: that may quote the request, and so the storage's key.
        raise EgressRefused(f"LiveKit answered {error.code}") from None
    except aiohttp.ClientError as error:
        raise EgressRefused(f"LiveKit cannot be reached: {type(error).__name__}") from None
    log.info("egress_started", egress_id=info.egress_id, path=path)
    return info.egress_id


async def recording_lost(lk: api.LiveKitAPI, room: str, egress_id: str, within: float) -> bool:
    """Whether a service that said it records has left the room without another word.

    A service that is killed says nothing: LiveKit calls its recording active for ever.

    Args:
        lk: LiveKit's server API.
        room: LiveKit's full name of the room, in which somebody still is.
        egress_id: what `record_room` returned.
        within: seconds that LiveKit may take to tell.

    Returns:
        True if so; False as well where LiveKit does not tell.
    """
    asked = egress.ListEgressRequest(egress_id=egress_id)
    try:
        async with asyncio.timeout(within):
            found = (await lk.egress.list_egress(asked)).items
            if not any(info.status == egress.EgressStatus.EGRESS_ACTIVE for info in found):
                return False
            present = await _present(lk, room)
    except (TimeoutError, api.TwirpError, aiohttp.ClientError) as error:
        log.warning("egress_unknown", egress_id=egress_id, reason=type(error).__name__)
        return False
    # A room that is empty or gone is being closed, and its recording with it.
    return bool(present) and egress_id not in present


async def _is_recorded(lk: api.LiveKitAPI, room: str) -> bool:
    asked = egress.ListEgressRequest(room_name=room, active=True)
    listed = (await lk.egress.list_egress(asked)).items
    if not listed:
        return False
    # What a killed service leaves is listed for ever, for later rooms of this name as well.
    present = await _present(lk, room)
    return any(info.egress_id in present or _is_starting(info) for info in listed)


def _is_starting(info: egress.EgressInfo) -> bool:
    starting = info.status == egress.EgressStatus.EGRESS_STARTING
    return starting and time.time() - info.updated_at / 1e9 < START_SECONDS


async def _present(lk: api.LiveKitAPI, room: str) -> set[str]:
    """Identities in the room: a service that records is hidden in it, by its recording's id."""
    listed = await lk.room.list_participants(rooms.ListParticipantsRequest(room=room))
    return {participant.identity for participant in listed.participants}


def _output(storage: str, path: str) -> egress.EncodedFileOutput:
    parts = urlsplit(storage)
    if parts.scheme == "file":
        file = Path(unquote(parts.path)) / path
        return egress.EncodedFileOutput(
            file_type=egress.EncodedFileType.OGG, filepath=str(file), disable_manifest=True
        )
    if parts.scheme != "s3":
        raise EgressRefused(f"it is not told how to write to {parts.scheme}://")
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    upload = egress.S3Upload(
        access_key=os.environ.get("AWS_ACCESS_KEY_ID", ""),
        secret=os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
        session_token=os.environ.get("AWS_SESSION_TOKEN", ""),
        region=os.environ.get("AWS_REGION", ""),
        endpoint=endpoint,
        bucket=parts.netloc,
        # Servers of one's own seldom have a host name per bucket.
        force_path_style=bool(endpoint),
    )
    key = "/".join(filter(None, (parts.path.strip("/"), path)))
    return egress.EncodedFileOutput(
        file_type=egress.EncodedFileType.OGG, filepath=key, s3=upload, disable_manifest=True
    )
