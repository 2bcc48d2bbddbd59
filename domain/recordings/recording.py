"""Recordings of calls: their state, path and configuration."""

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from domain.agents.config_base import ConfigModel
from domain.ids import SessionKey
from domain.json_model import JsonModel, or_else

GIVE_UP_AFTER = timedelta(days=7)
"""How long after a recording's start its agent server tries to store it."""
LOST_AFTER = GIVE_UP_AFTER + timedelta(days=1)
"""When every agent server has abandoned it, with a day to spare in case the API was down."""
HEARD_WITHIN = timedelta(minutes=5)
"""How long the recording's agent server may be silent; heartbeats come every 2 s."""

_ID = "[A-Za-z0-9_-]{1,128}"
_PATH = re.compile(
    rf"(?:^|/)(?P<org>{_ID})/(?P<session>{_ID})/(?P<attempt>[1-9][0-9]{{0,8}})-[A-Za-z0-9_-]+\.ogg\Z"
)


class Recording(ConfigModel):
    """Whether the call is recorded, part of an agent's configuration."""

    enabled: bool = False


class RecordingState(StrEnum):
    """The state of a recording."""

    PENDING = "pending"
    """Not uploaded yet; the upload is retried."""
    STORED = "stored"
    FAILED = "failed"


class CallRecording(JsonModel):
    """One attempt's recording. The caller is on the left channel, the agent on the right."""

    model_config = ConfigDict(extra="ignore")

    attempt: int = Field(ge=1, examples=[1])
    state: Annotated[RecordingState, or_else(RecordingState.PENDING)]
    path: str = Field(max_length=500, examples=["acme/s-1/1-AJ_x.ogg"])
    """Its path below the recordings' URL."""
    started_at: datetime | None = None
    """The time of its first sample."""
    bytes: int | None = Field(default=None, ge=0, lt=2**53)
    error: str | None = Field(default=None, max_length=500)
    """Why it is not stored, as a sentence."""
    egress_id: str | None = Field(default=None, max_length=100, examples=["EG_3qhZAXpHxhTc"])
    """LiveKit's id of it, if its egress service records."""
    spool: str | None = Field(default=None, max_length=64)
    """The disk whose agent server uploads it or asks LiveKit for its result, as heartbeats say."""


def recording_path(org: str, session_id: str, attempt: int, job_id: str) -> str:
    """A recording's path below the recordings' URL, by org first."""
    job = "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in job_id)
    return f"{org}/{session_id}/{attempt}-{job[:100]}.ogg"


def recording_at(filename: str) -> tuple[SessionKey, CallRecording] | None:
    """The session and recording of a file in the storage, under any prefix; None if not ours."""
    found = _PATH.search(filename)
    if found is None:
        return None
    attempt = int(found["attempt"])
    pending = RecordingState.PENDING
    recording = CallRecording(attempt=attempt, state=pending, path=found[0].removeprefix("/"))
    return SessionKey(found["org"], found["session"]), recording


def as_of(recording: CallRecording, now: datetime, spools: Collection[str]) -> CallRecording:
    """The recording as clients see it: one that nobody uploads any more has failed.

    This is not final: an agent server may start again on its disk, or LiveKit report the result.
    `spools` are the disks whose agent server sent a heartbeat within `HEARD_WITHIN`.
    """
    if recording.state is not RecordingState.PENDING:
        return recording
    if recording.started_at is not None and now - recording.started_at > LOST_AFTER:
        why = f"no result was reported within {LOST_AFTER.days} days"
    elif recording.spool is not None and recording.spool not in spools:
        minutes = HEARD_WITHIN // timedelta(minutes=1)
        why = (
            f"the agent server with its disk has sent no heartbeat for {minutes} minutes;"
            " it is uploaded once an agent server starts on that disk again"
        )
    else:
        return recording
    return recording.model_copy(update={"state": RecordingState.FAILED, "error": why})


def belongs_to(recording: CallRecording, key: SessionKey) -> bool:
    """Whether a recording's path belongs to this session; a report may name any path."""
    _, *further = recording.path.split("/")
    return recording.path.startswith(f"{key.org}/{key.session_id}/") and ".." not in further


def latest(recordings: list[CallRecording]) -> list[CallRecording]:
    """One entry per path in order of attempts; a stored one wins over the others."""
    rank = {RecordingState.PENDING: 0, RecordingState.FAILED: 1, RecordingState.STORED: 2}
    best: dict[str, CallRecording] = {}
    for found in recordings:
        known = best.get(found.path)
        if known is None or rank[found.state] >= rank[known.state]:
            best[found.path] = found
    return sorted(best.values(), key=lambda found: (found.attempt, found.path))
