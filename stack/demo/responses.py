"""The parts of the API's responses that the demo reads."""

from datetime import datetime

from pydantic import BaseModel


class Started(BaseModel):
    """Response of `POST /v1/sessions/start`."""

    session_id: str
    room_name: str
    livekit_url: str
    livekit_token: str
    agent_joined: bool


class Status(BaseModel):
    """Response of `GET /v1/sessions/{session_id}`, and its `state` events."""

    org: str
    state: str
    waiting_for: str
    outcome: str | None = None
    end_reason: str | None = None
    reason: str | None = None
    attempt: int = 0
    dispatches: int = 0
    joins: int = 0
    agent_name: str
    agent_identity: str | None = None
    join_seconds: float | None = None
    report_received: bool = False
    room_deleted: bool = False

    @property
    def over(self) -> bool:
        """Whether the session is closed and its room is gone."""
        return self.state == "closed" and self.room_deleted


class Turn(BaseModel):
    """One utterance of a transcript."""

    item_id: str
    attempt: int
    role: str
    text: str
    interrupted: bool = False
    created_at: datetime

    @property
    def by_caller(self) -> bool:
        """Whether the caller said it."""
        return self.role == "user"


class TranscriptHeader(BaseModel):
    """Header of a stored transcript."""

    complete: bool
    turn_count: int
    digest: str


class Transcript(BaseModel):
    """Response of `GET /v1/sessions/{session_id}/turns`."""

    turns: list[Turn]
    transcript: TranscriptHeader | None = None


class Summary(BaseModel):
    """Response of `GET /v1/sessions/{session_id}/summary`."""

    status: str
    text: str | None = None
    attempts: int = 0
    error: str | None = None
    summariser: str | None = None
    transcript_digest: str | None = None
