"""Turns, reports and the transcript that they make.

The stored turns *are* the transcript; its header says whether it is complete and what it counts.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from heapq import merge
from typing import Annotated, Any, cast

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

from domain.json_model import JsonModel, or_else, writable
from domain.recordings.recording import CallRecording
from domain.sessions.session import EndReason
from domain.transcripts.pricing import CostEstimate
from domain.transcripts.report_items import AgentError, HandOff, ToolCall
from domain.transcripts.usage import CallLatency, ModelUsage

REPORT_VERSION = 2
"""Of the reports that this version's agents hand in."""
MAX_TURN_CHARS = 64_000
"""Longest text of one turn; the API refuses more."""


class Role(StrEnum):
    """Who spoke."""

    USER = "user"
    ASSISTANT = "assistant"


class Turn(JsonModel):
    """One committed utterance, keyed by (session, attempt, item_id); `seq` only orders.

    Turns that a client adds have no `seq`: their time puts them between those that have one.
    """

    model_config = ConfigDict(extra="ignore")

    item_id: str = Field(min_length=1, max_length=200)
    attempt: int = Field(ge=1)
    seq: int | None = Field(default=None, ge=0)
    role: Annotated[Role, or_else(Role.ASSISTANT)]
    """An unknown one is taken as the agent's side: nobody puts words in the caller's mouth."""
    text: str = Field(max_length=MAX_TURN_CHARS)
    created_at: datetime
    interrupted: bool = False
    started_speaking_at: datetime | None = None
    stopped_speaking_at: datetime | None = None
    metrics: dict[str, Any] = {}
    """Latencies as the agent measured them, seconds."""
    agent_id: str | None = Field(default=None, max_length=300)
    """The saved agent that had taken over the conversation; None for the one it began with."""

    @field_validator("metrics", mode="before")
    @classmethod
    def _readable(cls, metrics: Any) -> Any:
        """Free-form, and no answer with a turn may fail because of it."""
        if not isinstance(metrics, dict):
            return metrics
        pairs = cast(dict[object, object], metrics)
        return {writable(name): writable(value) for name, value in pairs.items()}

    def instant(self) -> tuple[int, datetime]:
        """When it was said; attempts follow each other. A time without a zone is UTC."""
        at = self.created_at
        return (self.attempt, at if at.tzinfo else at.replace(tzinfo=UTC))


class ReportEnd(StrEnum):
    """Why the agent says that its part of the call ended.

    Each of them that does not abandon the call is also an `EndReason`, with the same value.
    """

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


class ConfiguredOtherwise(BaseModel):
    """Something that the agent could not do as configured, while the call went on."""

    model_config = ConfigDict(extra="ignore")

    field: str
    """The configuration field."""
    reason: str
    """What was wrong, and what was done instead."""


class AgentReport(JsonModel):
    """What an agent hands in at the end of its part: the observability signal.

    Unknown fields of older or newer agents are kept.
    """

    model_config = ConfigDict(extra="allow")

    report_version: int = Field(
        default=1, ge=1, validation_alias=AliasChoices("report_version", "version")
    )
    attempt: int = Field(ge=1)
    job_id: str | None = None
    end_reason: Annotated[ReportEnd, or_else(ReportEnd.UNKNOWN)] = ReportEnd.UNKNOWN
    error: str | None = None
    """Reason in a sentence if the agent ended by a fault."""
    turns: list[Turn] = []
    tool_calls: list[ToolCall] = []
    hand_offs: list[HandOff] = []
    usage: list[ModelUsage] = []
    errors: list[AgentError] = []
    """Errors of providers on the way, also of those that the call survived."""
    missing_variables: list[str] = []
    """Dynamic variables that the prompt or greeting names and nobody gave."""
    configured_otherwise: list[ConfiguredOtherwise] = []
    """What was done otherwise than configured, for instance by a fallback."""
    recording: CallRecording | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    close_reason: str | None = None
    """The SDK's own word for why its session closed; `end_reason` is the one to trust."""
    agent_version: str | None = None
    foreign: bool = False
    """Handed in by an agent that is not ours."""
    left_out: list[str] = []
    """Fields that it is without because it would be too large; that they are empty says nothing."""

    @field_validator("job_id", "error", "close_reason", "agent_version", mode="before")
    @classmethod
    def _writable(cls, value: object) -> object:
        return writable(value)

    def digest(self) -> str:
        """SHA-256 of the whole report: two deliveries of one report have the same."""
        # Plain JSON in ASCII: pydantic's own cannot write the lone surrogates that a field of
        # another agent's may hold.
        text = json.dumps(self.model_dump(), default=str)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class KeptReports:
    """A session's reports as one look found them.

    Attributes:
        readable: what they say, by attempt and then by their end.
        attempts: the attempts of all, also of those that this Everline cannot read.
        ids: what tells all of them apart.
    """

    readable: list[AgentReport]
    attempts: frozenset[int]
    ids: frozenset[str]

    @property
    def unreadable(self) -> int:
        """How many another version stored, or another hand changed."""
        return len(self.ids) - len(self.readable)


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
    interruptions: int = 0
    """The agent's turns that the caller cut short."""
    tool_calls: int = 0
    tool_errors: int = 0
    usage: list[ModelUsage] = []
    """Per model, over all attempts that reported it."""
    cost: CostEstimate | None = None
    """What the usage costs by the price table; None without usage."""
    latency: CallLatency | None = None
    recordings: list[CallRecording] = []
    unreadable_reports: int = 0
    """Reports that are kept and that this Everline could not read: their turns are in the
    transcript, but the figures are without them."""
    sealed_at: datetime
    updated_at: datetime


def ordered(turns: Iterable[Turn]) -> list[Turn]:
    """The turns in transcript order: `seq` orders within an attempt, time where there is none."""
    numbered: list[tuple[int, Turn]] = []
    others: list[Turn] = []
    for turn in turns:
        if turn.seq is None:
            others.append(turn)
        else:
            numbered.append((turn.seq, turn))
    numbered.sort(key=lambda one: (one[1].attempt, one[0], one[1].instant(), one[1].item_id))
    others.sort(key=lambda turn: (turn.instant(), turn.item_id))
    # Compares the heads alone, so that the numbered ones keep their order whatever their times.
    return list(merge((turn for _, turn in numbered), others, key=Turn.instant))


def in_charge(turns: Iterable[Turn]) -> str | None:
    """The saved agent that has the conversation after these turns; None for the first one."""
    # What has no number was added by a client.
    agents = [turn.agent_id for turn in ordered(turns) if turn.seq is not None]
    return agents[-1] if agents else None


def transcript_digest(turns: Iterable[Turn]) -> str:
    """SHA-256 over role and text of the turns, in transcript order."""
    digest = hashlib.sha256()
    for turn in ordered(turns):
        line = f"{turn.attempt}\x1f{turn.item_id}\x1f{turn.role}\x1f{turn.text}\x1e"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
