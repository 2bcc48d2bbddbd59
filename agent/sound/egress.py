"""The recording of a call by LiveKit's egress service, if there is one."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import structlog
from livekit import api
from livekit.protocol import egress
from livekit.protocol import room as rooms

from adapters.livekit.connection import LiveKitConnection
from adapters.livekit.egress import EgressResult, egress_result
from domain.recordings.recording import CallRecording, RecordingState

log = structlog.stdlib.get_logger(__name__)

ANSWER_SECONDS = 5.0
"""How long LiveKit may take; its client does not keep its own time limit.

Without a free service LiveKit searches for about 24 s; it stops when the request is abandoned.
"""

START_SECONDS = 60.0
"""How long the service may take from accepting to joining the room."""

LEFT = "LiveKit's egress service left during the call"


class EgressRefused(Exception):
    """LiveKit cannot record the room; the message says why."""


async def record_room(lk: LiveKitConnection, room: str, storage: str, path: str) -> str | None:
    """Record a room until it closes, audio only, at `path` in the storage of recordings.

    Returns LiveKit's id of the recording; None if the room is being recorded already, for instance
    when this agent replaces another one. `room` is LiveKit's full name, `storage` a `file://` or
    `s3://` URL.

    Raises:
        EgressRefused: there is no egress service, or it does not accept the request.
    """
    request = egress.RoomCompositeEgressRequest(
        room_name=room,
        audio_only=True,
        audio_mixing=egress.AudioMixing.DUAL_CHANNEL_AGENT,
        file_outputs=[_output(storage, path)],
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            if await _is_recorded(lk, room):
                return None
            info = await lk.egress.start_room_composite_egress(request)
    except TimeoutError:
        raise EgressRefused(f"no answer within {ANSWER_SECONDS:g} s") from None
    except api.TwirpError as error:
        # Without its message, which may quote the request with the storage's key.
        raise EgressRefused(f"LiveKit answered {error.code}") from None
    except aiohttp.ClientError as error:
        raise EgressRefused(f"LiveKit cannot be reached: {type(error).__name__}") from None
    log.info("egress_started", egress_id=info.egress_id, path=path)
    return info.egress_id


@dataclass(frozen=True)
class Fate:
    """The state of a recording by the service."""

    state: RecordingState
    result: EgressResult | None = None
    """What LiveKit reports, if it has ended."""
    error: str | None = None
    alone: bool = False
    """Pending, with an empty room: the room is being closed, or the service was killed, which
    reports nothing."""

    def of(self, recording: CallRecording) -> CallRecording:
        """The recording in this state."""
        known = {"state": self.state, "error": self.error}
        if self.result is not None:
            known |= {"bytes": self.result.bytes, "started_at": self.result.started_at}
        return recording.model_copy(update={k: v for k, v in known.items() if v is not None})


_FORGOTTEN = Fate(RecordingState.FAILED, error="LiveKit does not know it any more")
"""LiveKit forgets a recording a day after its end."""


async def fate_of(lk: LiveKitConnection, egress_id: str, within: float) -> Fate | None:
    """The state of a recording, by LiveKit's list and by the participants of the room.

    A killed service reports nothing: LiveKit lists its recording as active for ever. None if
    LiveKit does not answer within `within` seconds.
    """
    try:
        async with asyncio.timeout(within):
            asked = egress.ListEgressRequest(egress_id=egress_id)
            found = (await lk.egress.list_egress(asked)).items
            if not found:
                return _FORGOTTEN
            info = found[0]
            if info.status >= egress.EgressStatus.EGRESS_COMPLETE:
                return _ended(info)
            if info.status == egress.EgressStatus.EGRESS_ENDING or _is_starting(lk, info):
                return Fate(RecordingState.PENDING)
            present = await _present(lk, info.room_name)
            if present and info.egress_id not in present:
                return Fate(RecordingState.FAILED, error=LEFT)
            return Fate(RecordingState.PENDING, alone=not present)
    except (TimeoutError, api.TwirpError, aiohttp.ClientError) as error:
        if isinstance(error, api.TwirpError) and error.code == api.TwirpErrorCode.NOT_FOUND:
            return _FORGOTTEN
        log.warning("egress_unknown", egress_id=egress_id, reason=type(error).__name__)
        return None


def _ended(info: egress.EgressInfo) -> Fate:
    result = egress_result(info)
    if result is not None and result.complete:
        return Fate(RecordingState.STORED, result)
    why = info.error or egress.EgressStatus.Name(info.status)
    return Fate(RecordingState.FAILED, result, f"LiveKit's egress service: {why}"[:500])


async def _is_recorded(lk: LiveKitConnection, room: str) -> bool:
    asked = egress.ListEgressRequest(room_name=room, active=True)
    listed = (await lk.egress.list_egress(asked)).items
    if not listed:
        return False
    # LiveKit lists a killed service's recordings for ever, for later rooms of this name too.
    present = await _present(lk, room)
    return any(info.egress_id in present or _is_starting(lk, info) for info in listed)


def _is_starting(lk: LiveKitConnection, info: egress.EgressInfo) -> bool:
    starting = info.status == egress.EgressStatus.EGRESS_STARTING
    # By LiveKit's clock, which wrote the time.
    return starting and lk.now() - info.updated_at / 1e9 < START_SECONDS


async def _present(lk: LiveKitConnection, room: str) -> set[str]:
    """Identities in the room: a recording service is a hidden participant, with the egress id."""
    listed = await lk.room.list_participants(rooms.ListParticipantsRequest(room=room))
    return {participant.identity for participant in listed.participants}


def _output(storage: str, path: str) -> egress.EncodedFileOutput:
    parts = urlsplit(storage)
    ogg: Any = {"file_type": egress.EncodedFileType.OGG, "disable_manifest": True}
    if parts.scheme == "file":
        return egress.EncodedFileOutput(filepath=str(Path(unquote(parts.path)) / path), **ogg)
    if parts.scheme != "s3":
        raise EgressRefused(f"it cannot write to {parts.scheme}://")
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    upload = egress.S3Upload(
        access_key=os.environ.get("AWS_ACCESS_KEY_ID", ""),
        secret=os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
        session_token=os.environ.get("AWS_SESSION_TOKEN", ""),
        region=os.environ.get("AWS_REGION", ""),
        endpoint=endpoint,
        bucket=parts.netloc,
        # Self-hosted servers seldom have a host name per bucket.
        force_path_style=bool(endpoint),
    )
    filepath = "/".join(filter(None, (parts.path.strip("/"), path)))
    return egress.EncodedFileOutput(s3=upload, filepath=filepath, **ogg)
