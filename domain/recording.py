"""The recording of a call: where it is, or why there is none."""

import re
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from domain.config_model import ConfigModel
from domain.ids import SessionKey

_ID = "[A-Za-z0-9_-]{1,128}"
_PATH = re.compile(
    rf"(?:^|/)(?P<org>{_ID})/(?P<session>{_ID})/(?P<attempt>[1-9][0-9]{{0,8}})-[A-Za-z0-9_-]+\.ogg\Z"
)


class Recording(ConfigModel):
    """Whether the call is recorded, part of an agent's configuration."""

    enabled: bool = False


class RecordingState(StrEnum):
    """How far a recording is."""

    PENDING = "pending"
    """On its way to the storage; tried again until it is there."""
    STORED = "stored"
    FAILED = "failed"


class CallRecording(BaseModel):
    """One attempt's recording. The caller is on the left channel, the agent on the right."""

    model_config = ConfigDict(extra="ignore")

    attempt: int = Field(ge=1, examples=[1])
    state: RecordingState
    path: str = Field(max_length=500, examples=["acme/s-1/1-AJ_x.ogg"])
    """Where it is below the recordings' URL."""
    started_at: datetime | None = None
    """The time of its first sample."""
    bytes: int | None = Field(default=None, ge=0)
    error: str | None = Field(default=None, max_length=500)
    """Why it is not stored, for a person."""


def recording_path(org: str, session_id: str, attempt: int, job_id: str) -> str:
    """Where a recording lies below the recordings' URL; the org comes first, for its deletion."""
    job = "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in job_id)
    return f"{org}/{session_id}/{attempt}-{job[:100]}.ogg"


def recording_at(filename: str) -> tuple[SessionKey, CallRecording] | None:
    """Whose recording a file in the storage is, under any prefix; None if it is none of ours."""
    found = _PATH.search(filename)
    if found is None:
        return None
    attempt = int(found["attempt"])
    pending = RecordingState.PENDING
    recording = CallRecording(attempt=attempt, state=pending, path=found[0].removeprefix("/"))
    return SessionKey(found["org"], found["session"]), recording


def belongs_to(recording: CallRecording, key: SessionKey) -> bool:
    """Whether a recording lies where this session's do; a report may name any path."""
    _, *further = recording.path.split("/")
    return recording.path.startswith(f"{key.org}/{key.session_id}/") and ".." not in further


def latest(recordings: list[CallRecording]) -> list[CallRecording]:
    """One entry per attempt and path, stored ones before all others, in the order of attempts."""
    rank = {RecordingState.PENDING: 0, RecordingState.FAILED: 1, RecordingState.STORED: 2}
    best: dict[str, CallRecording] = {}
    for found in recordings:
        known = best.get(found.path)
        if known is None or rank[found.state] >= rank[known.state]:
            best[found.path] = found
    return sorted(best.values(), key=lambda found: (found.attempt, found.path))
