"""The recording of a call by LiveKit's egress service, where one is there."""

import asyncio
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp
import structlog
from livekit import api
from livekit.protocol import egress

log = structlog.stdlib.get_logger(__name__)

ANSWER_SECONDS = 5.0
"""How long LiveKit may take; its client's own time limit is not kept."""


class EgressRefused(Exception):
    """LiveKit cannot record the room; the message says why."""


async def record_room(lk: api.LiveKitAPI, room: str, storage: str, path: str) -> bool:
    """Have a room recorded until it closes, its sound alone.

    Args:
        lk: LiveKit's server API.
        room: LiveKit's full name of the room.
        storage: URL of the storage of recordings, `file://` or `s3://`.
        path: where the recording is to lie below it.

    Returns:
        Whether a recording was begun; False if the room is being recorded already, as when this
        agent replaces another one.

    Raises:
        EgressRefused: there is no egress service, or it does not take it.
    """
    order = egress.RoomCompositeEgressRequest(
        room_name=room,
        audio_only=True,
        audio_mixing=egress.AudioMixing.DUAL_CHANNEL_AGENT,
        file_outputs=[_output(storage, path)],
    )
    running = egress.ListEgressRequest(room_name=room, active=True)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            if (await lk.egress.list_egress(running)).items:
                return False
            info = await lk.egress.start_room_composite_egress(order)
    except TimeoutError:
        raise EgressRefused(f"no answer within {ANSWER_SECONDS:g} s") from None
    except api.TwirpError as error:
        # Without its message: that may quote the request, and so the storage's key.
        raise EgressRefused(f"LiveKit answered {error.code}") from None
    except aiohttp.ClientError as error:
        raise EgressRefused(f"LiveKit cannot be reached: {type(error).__name__}") from None
    log.info("egress_started", egress_id=info.egress_id, path=path)
    return True


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
