"""Transcripts in responses, with camelCase names as in the older LiveKit backend."""

from datetime import datetime

from pydantic import Field

from api.answers import CamelCaseAnswer
from domain.json_model import is_number
from domain.recordings.recording import CallRecording
from domain.sessions.end_reasons import EndReason, ReportEnd
from domain.sessions.session import Outcome
from domain.transcripts.analysis import Analysis
from domain.transcripts.listing import TranscriptLine, TranscriptState
from domain.transcripts.pricing import CostEstimate
from domain.transcripts.report_items import AgentError, HandOff, ToolCall
from domain.transcripts.summary import Summary, SummaryStatus
from domain.transcripts.transcript import ConfiguredOtherwise, Role, TranscriptHeader, Turn
from domain.transcripts.usage import CallLatency, ModelUsage
from services.transcripts.reader import WholeTranscript


class TranscriptHead(CamelCaseAnswer):
    """One transcript in a list."""

    session_id: str
    agent_id: str | None = Field(description="null for a session without a saved agent")
    agent_name: str | None = Field(description="the name that the agent workers register with")
    agent_version: int | None
    user_id: str | None
    room_name: str | None
    state: TranscriptState
    outcome: Outcome | None
    end_reason: EndReason | None
    started_at: datetime
    joined_at: datetime | None
    ended_at: datetime | None
    duration_seconds: float | None = Field(description="while caller and agent were both there")
    turn_count: int
    user_turns: int
    agent_turns: int
    interruptions: int
    tool_calls: int
    tool_errors: int
    attempts: int = Field(description="dispatch attempts")
    joins: int
    join_seconds: float | None = Field(description="first dispatch until the agent was in the room")
    response_seconds: float | None = Field(
        description="median time from the end of the caller's speech to the agent's first audio"
    )
    cost: float | None = Field(description="estimate in US dollars; null if unknown")
    recordings: int
    metadata: dict[str, str] = Field(description="what the start of the session gave")
    summary_status: SummaryStatus | None


class TranscriptList(CamelCaseAnswer):
    """A page of transcripts."""

    transcripts: list[TranscriptHead]
    next_cursor: str | None


class TurnAnswer(CamelCaseAnswer):
    """One turn."""

    item_id: str
    attempt: int
    seq: int | None
    role: Role
    text: str
    created_at: datetime
    interrupted: bool
    started_speaking_at: datetime | None
    stopped_speaking_at: datetime | None
    metrics: dict[str, float] = Field(description="latencies as the agent measured them, seconds")
    agent_id: str | None = Field(
        description="the saved agent that had taken over; null for the first agent"
    )


class ReportAnswer(CamelCaseAnswer):
    """The report that an agent sent at the end of its attempt, without its turns."""

    attempt: int
    job_id: str | None
    agent_version: str | None
    end_reason: ReportEnd
    error: str | None
    started_at: datetime | None
    ended_at: datetime | None
    turn_count: int
    errors: list[AgentError] = Field(description="provider errors, even if the call continued")
    missing_variables: list[str] = Field(description="dynamic variables without a value")
    configured_otherwise: list[ConfiguredOtherwise] = Field(
        description="differences from the configuration, such as a fallback"
    )
    tool_calls: list[ToolCall]
    hand_offs: list[HandOff]
    left_out: list[str] = Field(
        description="fields that were left out because the report was too large"
    )
    unreadable: list[str] = Field(
        description="values that could not be read and were left out, such as `turns.3.seq`"
    )


class SummaryAnswer(CamelCaseAnswer):
    """The summary, or why there is none."""

    status: SummaryStatus
    text: str | None
    error: str | None
    attempts: int
    summariser: str | None
    analysis: Analysis | None
    current: bool = Field(description="whether it covers the transcript as it is now")
    updated_at: datetime


class TranscriptAnswer(TranscriptHead):
    """A transcript with its turns; during a live call, the turns so far."""

    complete: bool
    digest: str | None
    sealed_at: datetime | None
    turns: list[TurnAnswer]
    reports: list[ReportAnswer]
    summary: SummaryAnswer | None
    usage: list[ModelUsage]
    cost_estimate: CostEstimate | None
    latency: CallLatency | None
    recording_files: list[CallRecording]


class TranscriptDeleted(CamelCaseAnswer):
    """What was deleted with a transcript."""

    session_id: str
    turns: int
    reports: int
    recordings: int
    summaries: int


def head_of(line: TranscriptLine) -> TranscriptHead:
    """A line of a list."""
    live = line.state is TranscriptState.LIVE
    return TranscriptHead.of(
        line,
        ended_at=None if live else line.ended_at,
        duration_seconds=None if live else line.duration_seconds,
        summary_status=line.summary,
    )


def answer_of(transcript: WholeTranscript) -> TranscriptAnswer:
    """The whole transcript."""
    header, summary = transcript.header, transcript.summary
    return TranscriptAnswer.of(
        head_of(transcript.line),
        complete=header.complete if header else False,
        digest=header.digest if header else None,
        sealed_at=header.sealed_at if header else None,
        turns=[_turn(turn) for turn in transcript.turns],
        reports=[
            ReportAnswer.of(report, turn_count=len(report.turns)) for report in transcript.reports
        ],
        summary=_summary(summary, header) if summary else None,
        usage=header.usage if header else [],
        cost_estimate=header.cost if header else None,
        latency=header.latency if header else None,
        recording_files=header.recordings if header else [],
    )


def _turn(turn: Turn) -> TurnAnswer:
    measured = {
        name: float(value)
        for name, value in turn.metrics.items()
        # Agents may send anything, but NaN and infinity are not JSON.
        if is_number(value) and abs(value) < _MOST_SECONDS
    }
    return TurnAnswer.of(turn, metrics=measured)


_MOST_SECONDS = 1e12


def _summary(summary: Summary, header: TranscriptHeader | None) -> SummaryAnswer:
    current = header is not None and summary.transcript_digest == header.digest
    return SummaryAnswer.of(summary, current=current)
