"""Results of recordings by LiveKit's egress service."""

from contextlib import suppress
from datetime import UTC, datetime

from livekit.protocol.egress import EgressInfo, EgressStatus
from pydantic import BaseModel


class EgressResult(BaseModel):
    """The result of a recording by LiveKit's egress service."""

    room: str
    """LiveKit's full name of the room."""
    filename: str
    complete: bool
    error: str | None = None
    bytes: int | None = None
    started_at: datetime | None = None


def egress_result(info: EgressInfo) -> EgressResult | None:
    """The result of an ended recording; None if it has no file."""
    if not info.file_results:
        return None
    file = info.file_results[0]
    # A recording that reached a time or size limit is stored up to there.
    complete = info.status in (EgressStatus.EGRESS_COMPLETE, EgressStatus.EGRESS_LIMIT_REACHED)
    return EgressResult(
        room=info.room_name,
        filename=file.filename,
        complete=complete,
        error=None if complete else (info.error or EgressStatus.Name(info.status))[:300],
        bytes=file.size,
        started_at=_nanoseconds(file.started_at),
    )


def _nanoseconds(since_1970: int) -> datetime | None:
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(since_1970 / 1e9, UTC) if since_1970 > 0 else None
