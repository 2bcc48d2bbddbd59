"""Turns and reports, and the transcript that consists of them.

The stored turns *are* the transcript; its header has its completeness and its figures.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from heapq import merge
from typing import Annotated, Any, NamedTuple

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from domain.errors import Conflict
from domain.json_model import JsonModel, or_else, writable, writable_pairs
from domain.recordings.recording import CallRecording
from domain.sessions.end_reasons import ReportEnd
from domain.transcripts.pricing import CostEstimate
from domain.transcripts.report_items import AgentError, HandOff, ToolCall
from domain.transcripts.usage import CallLatency, ModelUsage

REPORT_VERSION = 2
"""Version of the reports that this version's agents send."""
MAX_TURN_CHARS = 64_000
"""Longest text of a turn; the API refuses longer ones."""
WRITE_SECONDS = 10.0
"""How long one write of turns may take at most, until it is made or has failed."""
MAX_REPORTS = 20
"""Different reports of one attempt that are stored; an agent sends one, or a cut one after it."""
MAX_REPORT_LEVELS = 98
"""Deepest nesting of objects and lists in a field of a report that can be stored."""


class Role(StrEnum):
    """Who spoke."""

    USER = "user"
    ASSISTANT = "assistant"


class Turn(JsonModel):
    """One committed utterance, keyed by (session, attempt, item_id); `seq` only orders.

    Turns that a client adds have no `seq`; their time places them among the others.
    """

    model_config = ConfigDict(extra="ignore")

    item_id: str = Field(min_length=1, max_length=200)
    attempt: int = Field(ge=1, lt=2**31)
    seq: int | None = Field(default=None, ge=0, lt=2**63)
    role: Annotated[Role, or_else(Role.ASSISTANT)]
    """An unknown role is read as the agent's, so that nothing is attributed to the caller."""
    text: str = Field(max_length=MAX_TURN_CHARS)
    created_at: datetime
    interrupted: bool = False
    started_speaking_at: datetime | None = None
    stopped_speaking_at: datetime | None = None
    metrics: Annotated[dict[str, Any], BeforeValidator(writable_pairs)] = {}
    """Latencies that the agent measured, seconds."""
    agent_id: str | None = Field(default=None, max_length=300)
    """The saved agent that had taken over the conversation; None for the first one."""

    def instant(self) -> tuple[int, datetime]:
        """Sort key by attempt and time; a time without a zone is UTC."""
        at = self.created_at
        return (self.attempt, at if at.tzinfo else at.replace(tzinfo=UTC))


@dataclass(frozen=True)
class StoredTurn:
    """A turn as the archive holds it."""

    turn: Turn
    stored_at: datetime | None = None
    """When its present text was stored, by the archive's clock; None in older records."""
    revision: int = 0
    """How often its text was revised."""
    replaced: bool = False
    """Whether the agent's report replaced this turn of the listener: not in the transcript."""
    position: int = 0
    """Number of the session's write that last changed it; 0 in older records."""


class TranscriptLimits(NamedTuple):
    """How much one session's transcript may hold; 0 means no limit."""

    turns: int = 20_000
    bytes: int = 32 * 1024 * 1024
    """Of the turns' texts and metrics."""


class TranscriptFull(Conflict):
    """The session has reached its limit of turns or of their bytes (HTTP 409).

    The turns that fit are stored; `left_out` is how many others are not.
    """

    code = "transcript_full"

    def __init__(self, left_out: int, limits: TranscriptLimits, *, turns: bool) -> None:
        """Say which limit was reached: that of the `turns`, or that of their bytes."""
        most = f"{limits.turns} turns" if turns else f"{limits.bytes} bytes of turns"
        setting = "TURNS" if turns else "TURN_BYTES"
        super().__init__(
            f"turns that were not stored: {left_out}; a session may have up to {most}",
            field="turns",
            cure=f"raise EVERLINE_MAX_{setting}_PER_SESSION of the API and the worker",
        )
        self.left_out = left_out


class TooManyReports(Conflict):
    """The attempt's agent has sent more reports than are stored (HTTP 409)."""

    code = "too_many_reports"

    def __init__(self) -> None:
        super().__init__(
            f"up to {MAX_REPORTS} different reports of an attempt are stored, and this is one more",
            cure="send one report at the end of the agent's part; repeat it unchanged",
        )


class ConfiguredOtherwise(BaseModel):
    """Something that the agent could not do as configured, although the call continued."""

    model_config = ConfigDict(extra="ignore")

    field: str
    """The configuration field."""
    reason: str
    """What was wrong, and what the agent did instead."""


class AgentReport(JsonModel):
    """What an agent sends at the end of its part: the observability signal.

    Unknown fields of older or newer agents are kept.
    """

    model_config = ConfigDict(extra="allow")

    report_version: int = Field(
        default=1, ge=1, validation_alias=AliasChoices("report_version", "version")
    )
    attempt: int = Field(ge=1)
    job_id: str | None = None
    end_reason: Annotated[ReportEnd, or_else(ReportEnd.AGENT_ENDED)] = ReportEnd.UNKNOWN
    error: str | None = None
    """The reason as a sentence, if the agent ended with an error."""
    unanswered: bool = False
    """Whether the caller had spoken when the agent ended, and it had not begun to answer."""
    turns: list[Turn] = []
    tool_calls: list[ToolCall] = []
    hand_offs: list[HandOff] = []
    usage: list[ModelUsage] = []
    errors: list[AgentError] = []
    """Errors of providers, including those that the call survived."""
    missing_variables: list[str] = []
    """Dynamic variables without a value in the prompt or greeting."""
    configured_otherwise: list[ConfiguredOtherwise] = []
    """Deviations from the configuration, for example because of a fallback."""
    recording: CallRecording | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    close_reason: str | None = None
    """Why the SDK's session closed, in its terms; prefer `end_reason`."""
    agent_version: str | None = None
    foreign: bool = False
    """Whether an external agent sent it."""
    left_out: list[str] = []
    """Fields left empty because the report would be too large."""
    unreadable: list[str] = []
    """Values that could not be read when the report arrived, as in `turns.3.seq`."""

    @field_validator("job_id", "error", "close_reason", "agent_version", mode="before")
    @classmethod
    def _writable(cls, value: object) -> object:
        return writable(value)

    def digest(self) -> str:
        """SHA-256 of the whole report, the same for each delivery of it."""
        # ASCII, because pydantic's JSON cannot contain the lone surrogates of an external report.
        text = json.dumps(self.model_dump(), default=str)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class KeptReports:
    """A session's stored reports."""

    readable: list[AgentReport]
    """Those that this version can read, by attempt and then by their end."""
    attempts: frozenset[int]
    """The attempts of all reports, including unreadable ones."""
    ids: frozenset[str]

    @property
    def unreadable(self) -> int:
        """How many cannot be read: another version stored them, or somebody edited them."""
        return len(self.ids) - len(self.readable)


class TranscriptHeader(BaseModel):
    """A transcript's record: what is stored in addition to the turns."""

    org: str
    session_id: str
    agent_id: str | None = None
    complete: bool
    """Whether the last attempt's report is stored; otherwise only streamed turns are."""
    turn_count: int
    attempts: int
    digest: str
    """SHA-256 over the turns in order, to detect late changes."""
    interruptions: int = 0
    """The agent's turns that the caller interrupted."""
    tool_calls: int = 0
    tool_errors: int = 0
    usage: list[ModelUsage] = []
    """Per model, over all attempts that reported it."""
    cost: CostEstimate | None = None
    """The cost of the usage by the price table; None without usage."""
    latency: CallLatency | None = None
    recordings: list[CallRecording] = []
    turns_left_out: int = 0
    """Reported turns that are not in the transcript, because the session reached its limit."""
    unreadable_reports: int = 0
    """Stored reports that this version cannot read. Their turns are in the transcript, but the
    figures do not include them."""
    sealed_at: datetime
    updated_at: datetime


def ordered(turns: Iterable[Turn]) -> list[Turn]:
    """The turns in transcript order: `seq` orders within an attempt, time where there is none."""
    every = list(turns)
    numbered = sorted(
        (turn for turn in every if turn.seq is not None),
        key=lambda turn: (turn.attempt, turn.seq or 0, turn.instant(), turn.item_id),
    )
    others = sorted(
        (turn for turn in every if turn.seq is None),
        key=lambda turn: (turn.instant(), turn.item_id),
    )
    # Compares only the heads, so that the numbered turns keep their order whatever their times.
    return list(merge(numbered, others, key=Turn.instant))


def in_charge(turns: Iterable[Turn]) -> str | None:
    """The saved agent in charge after these turns; None for the first one."""
    # A client adds turns without a number.
    agents = [turn.agent_id for turn in ordered(turns) if turn.seq is not None]
    return agents[-1] if agents else None


def transcript_digest(turns: Iterable[Turn]) -> str:
    """SHA-256 over role and text of the turns, in transcript order."""
    digest = hashlib.sha256()
    for turn in ordered(turns):
        line = f"{turn.attempt}\x1f{turn.item_id}\x1f{turn.role}\x1f{turn.text}\x1e"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
