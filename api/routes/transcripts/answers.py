"""Transcripts as the API answers them, with the field names of the seed service's other answers."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from domain.recordings.recording import CallRecording
from domain.sessions.session import EndReason, Outcome
from domain.transcripts.analysis import Analysis
from domain.transcripts.listing import TranscriptLine, TranscriptState
from domain.transcripts.pricing import CostEstimate
from domain.transcripts.report_items import AgentError, HandOff, ToolCall
from domain.transcripts.summary import Summary, SummaryStatus
from domain.transcripts.transcript import (
    AgentReport,
    ConfiguredOtherwise,
    ReportEnd,
    Role,
    TranscriptHeader,
    Turn,
)
from domain.transcripts.usage import CallLatency, ModelUsage


class TranscriptHead(BaseModel):
    """One transcript in a list."""

    sessionId: str
    agentId: str = Field(description="for a session without a saved agent, the agent's name")
    agentVersion: int | None
    userId: str | None
    roomName: str | None
    state: TranscriptState
    outcome: Outcome | None
    endReason: EndReason | None
    startedAt: datetime
    joinedAt: datetime | None
    endedAt: datetime | None
    durationSeconds: float | None = Field(description="from the agent's join to the call's end")
    turnCount: int
    userTurns: int
    agentTurns: int
    interruptions: int
    toolCalls: int
    toolErrors: int
    attempts: int = Field(description="dispatch attempts")
    joins: int
    joinSeconds: float | None = Field(description="first dispatch until the agent was in the room")
    responseSeconds: float | None = Field(
        description="median time from the end of the caller's speech to the agent's first audio"
    )
    cost: float | None = Field(description="estimated, US dollars; null if it is not known")
    recordings: int
    summaryStatus: SummaryStatus | None


class TranscriptList(BaseModel):
    """A page of transcripts; the next one is asked for with its cursor."""

    transcripts: list[TranscriptHead]
    nextCursor: str | None


class TurnAnswer(BaseModel):
    """One turn."""

    itemId: str
    attempt: int
    seq: int | None
    role: Role
    text: str
    createdAt: datetime
    interrupted: bool
    startedSpeakingAt: datetime | None
    stoppedSpeakingAt: datetime | None
    metrics: dict[str, float] = Field(description="latencies as the agent measured them, seconds")
    agentId: str | None = Field(
        description="the saved agent that had taken over; null for the one that began the call"
    )


class ReportAnswer(BaseModel):
    """What one agent handed in at the end of its part, without its turns."""

    attempt: int
    jobId: str | None
    agentVersion: str | None
    endReason: ReportEnd
    error: str | None
    startedAt: datetime | None
    endedAt: datetime | None
    turnCount: int
    errors: list[AgentError] = Field(description="of providers, also those that the call survived")
    missingVariables: list[str] = Field(description="dynamic variables that nobody gave")
    configuredOtherwise: list[ConfiguredOtherwise] = Field(
        description="what was done otherwise than configured, for instance by a fallback"
    )
    toolCalls: list[ToolCall]
    handOffs: list[HandOff]
    leftOut: list[str] = Field(
        description="the report's own fields that it came without because it was too large"
    )


class SummaryAnswer(BaseModel):
    """The summary, or why there is none."""

    status: SummaryStatus
    text: str | None
    error: str | None
    attempts: int
    summariser: str | None
    analysis: Analysis | None
    current: bool = Field(description="whether it was written of the transcript as it is now")
    updatedAt: datetime


class TranscriptAnswer(TranscriptHead):
    """A transcript with its turns; while the call is live, those so far."""

    complete: bool
    digest: str | None
    sealedAt: datetime | None
    turns: list[TurnAnswer]
    reports: list[ReportAnswer]
    summary: SummaryAnswer | None
    usage: list[ModelUsage]
    costEstimate: CostEstimate | None
    latency: CallLatency | None
    recordingFiles: list[CallRecording]


class TranscriptDeleted(BaseModel):
    """What was deleted with a transcript."""

    sessionId: str
    turns: int
    reports: int
    recordings: int
    summaries: int


def head_of(line: TranscriptLine) -> TranscriptHead:
    """A line of a list."""
    live = line.state is TranscriptState.LIVE
    return TranscriptHead(
        sessionId=line.session_id,
        agentId=line.agent,
        agentVersion=line.agent_version,
        userId=line.user_id,
        roomName=line.room_name,
        state=line.state,
        outcome=line.outcome,
        endReason=line.end_reason,
        startedAt=line.started_at,
        joinedAt=line.joined_at,
        endedAt=None if live else line.ended_at,
        durationSeconds=None if live else line.duration_seconds,
        turnCount=line.turn_count,
        userTurns=line.user_turns,
        agentTurns=line.agent_turns,
        interruptions=line.interruptions,
        toolCalls=line.tool_calls,
        toolErrors=line.tool_errors,
        attempts=line.attempts,
        joins=line.joins,
        joinSeconds=line.join_seconds,
        responseSeconds=line.response_seconds,
        cost=line.cost,
        recordings=line.recordings,
        summaryStatus=line.summary,
    )


def answer_of(
    line: TranscriptLine,
    header: TranscriptHeader | None,
    turns: Sequence[Turn],
    reports: Sequence[AgentReport],
    summary: Summary | None,
) -> TranscriptAnswer:
    """The whole transcript."""
    return TranscriptAnswer(
        **head_of(line).model_dump(),
        complete=header.complete if header else False,
        digest=header.digest if header else None,
        sealedAt=header.sealed_at if header else None,
        turns=[_turn(turn) for turn in turns],
        reports=[_report(report) for report in reports],
        summary=_summary(summary, header) if summary else None,
        usage=header.usage if header else [],
        costEstimate=header.cost if header else None,
        latency=header.latency if header else None,
        recordingFiles=header.recordings if header else [],
    )


def _turn(turn: Turn) -> TurnAnswer:
    measured = {
        name: float(value)
        for name, value in turn.metrics.items()
        # Agents may send anything; NaN and infinity are no JSON.
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < _MOST_SECONDS
    }
    return TurnAnswer(
        itemId=turn.item_id,
        attempt=turn.attempt,
        seq=turn.seq,
        role=turn.role,
        text=turn.text,
        createdAt=turn.created_at,
        interrupted=turn.interrupted,
        startedSpeakingAt=turn.started_speaking_at,
        stoppedSpeakingAt=turn.stopped_speaking_at,
        metrics=measured,
        agentId=turn.agent_id,
    )


_MOST_SECONDS = 1e12


def _report(report: AgentReport) -> ReportAnswer:
    return ReportAnswer(
        attempt=report.attempt,
        jobId=report.job_id,
        agentVersion=report.agent_version,
        endReason=report.end_reason,
        error=report.error,
        startedAt=report.started_at,
        endedAt=report.ended_at,
        turnCount=len(report.turns),
        errors=report.errors,
        missingVariables=report.missing_variables,
        configuredOtherwise=report.configured_otherwise,
        toolCalls=report.tool_calls,
        handOffs=report.hand_offs,
        leftOut=report.left_out,
    )


def _summary(summary: Summary, header: TranscriptHeader | None) -> SummaryAnswer:
    return SummaryAnswer(
        status=summary.status,
        text=summary.text,
        error=summary.error,
        attempts=summary.attempts,
        summariser=summary.summariser,
        analysis=summary.analysis,
        current=header is not None and summary.transcript_digest == header.digest,
        updatedAt=summary.updated_at,
    )
