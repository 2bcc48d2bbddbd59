"""Turns, reports and the transcript that they make.

The stored turns *are* the transcript; its header says whether it is complete and what it counts.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from domain.session import EndReason

MAX_TURN_CHARS = 64_000
"""Longest text of one turn; the API refuses more."""


class Role(StrEnum):
    """Who spoke."""

    USER = "user"
    ASSISTANT = "assistant"


class Turn(BaseModel):
    """One committed utterance, keyed by (session, attempt, item_id); `seq` only orders."""

    model_config = ConfigDict(extra="ignore")

    item_id: str = Field(min_length=1, max_length=200)
    attempt: int = Field(ge=1)
    seq: int = Field(ge=0)
    role: Role
    text: str = Field(max_length=MAX_TURN_CHARS)
    created_at: datetime
    interrupted: bool = False
    started_speaking_at: datetime | None = None
    stopped_speaking_at: datetime | None = None
    metrics: dict[str, Any] = {}
    """Latencies as the agent measured them, seconds."""

    def order(self) -> tuple[int, int, datetime, str]:
        """Sort key of the transcript: attempts follow each other, `seq` orders within one."""
        return (self.attempt, self.seq, self.created_at, self.item_id)


class ReportEnd(StrEnum):
    """Why the agent says that its part of the call ended."""

    AGENT_ENDED = "agent_ended"
    CALLER_LEFT = "caller_left"
    END_REQUESTED = "end_requested"
    MAX_DURATION = "max_duration"
    SILENCE = "silence"
    TRANSFERRED = "transferred"
    ROOM_DELETED = "room_deleted"
    SHUTDOWN = "shutdown"
    ERROR = "error"
    UNKNOWN = "unknown"

    def abandons_the_call(self) -> bool:
        """Whether the agent left without the conversation being over: it is lost, not finished."""
        return self in (ReportEnd.SHUTDOWN, ReportEnd.ERROR, ReportEnd.UNKNOWN)

    def end_reason(self) -> EndReason:
        """The session's end reason when this report ends it."""
        return EndReason.AGENT_ENDED if self.abandons_the_call() else EndReason(self.value)


class AgentReport(BaseModel):
    """What an agent hands in at the end of its part: the observability signal.

    Unknown fields of older or newer agents are kept.
    """

    model_config = ConfigDict(extra="allow")

    version: int = 1
    attempt: int = Field(ge=1)
    job_id: str | None = None
    end_reason: ReportEnd = ReportEnd.UNKNOWN
    error: str | None = None
    """Reason in a sentence if the agent ended by a fault."""
    turns: list[Turn] = []
    usage: list[dict[str, Any]] = []
    started_at: datetime | None = None
    ended_at: datetime | None = None
    agent_version: str | None = None

    def digest(self) -> str:
        """SHA-256 of the whole report: two deliveries of one report have the same."""
        # Plain JSON in ASCII: pydantic's own cannot write the lone surrogates that a field of
        # another agent's may hold.
        text = json.dumps(self.model_dump(), default=str)
        return hashlib.sha256(text.encode()).hexdigest()


class TranscriptHeader(BaseModel):
    """What a transcript's record says beside its turns."""

    org: str
    session_id: str
    agent_id: str | None = None
    complete: bool
    """Whether the report of the last attempt is in; without it only streamed turns are."""
    turn_count: int
    attempts: int
    digest: str
    """SHA-256 over the turns in order, to tell whether late material changed anything."""
    sealed_at: datetime
    updated_at: datetime


def ordered(turns: Iterable[Turn]) -> list[Turn]:
    """The turns in transcript order."""
    return sorted(turns, key=Turn.order)


def transcript_digest(turns: Iterable[Turn]) -> str:
    """SHA-256 over role and text of the turns, in transcript order."""
    digest = hashlib.sha256()
    for turn in ordered(turns):
        line = f"{turn.attempt}\x1f{turn.item_id}\x1f{turn.role}\x1f{turn.text}\x1e"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
