"""Statistics of transcripts in responses."""

from datetime import datetime

from pydantic import Field

from api.answers import CamelCaseAnswer
from domain.transcripts.statistics import TranscriptStats


class SpreadAnswer(CamelCaseAnswer):
    """The distribution of a figure over the transcripts that have it."""

    count: int
    average: float | None
    p50: float | None
    p95: float | None
    max: float | None


class JoinAnswer(CamelCaseAnswer):
    """How many agents joined, and how fast."""

    sessions: int = Field(description="sessions that needed an agent")
    joined: int
    success_rate: float | None = Field(description="between 0 and 1; null without sessions")
    attempts: int
    seconds: SpreadAnswer


class AgentStats(CamelCaseAnswer):
    """Statistics of an agent's calls that started at `from` or later and before `to`."""

    agent_id: str
    # `from` is a keyword in Python.
    since: datetime = Field(alias="from")
    until: datetime = Field(alias="to")
    count: int
    duration_seconds: SpreadAnswer
    turns: SpreadAnswer
    user_turns: int
    agent_turns: int
    interruptions: int
    tool_calls: int
    tool_errors: int
    recordings: int
    response_seconds: SpreadAnswer
    cost: SpreadAnswer
    cost_total: float
    join: JoinAnswer
    states: dict[str, int]
    outcomes: dict[str, int]
    end_reasons: dict[str, int]
    summary_states: dict[str, int]


def stats_of(agent: str, since: datetime, until: datetime, stats: TranscriptStats) -> AgentStats:
    """The statistics of an agent."""
    return AgentStats.of(
        stats,
        agent_id=agent,
        since=since,
        until=until,
        duration_seconds=stats.duration,
        response_seconds=stats.response,
        join=JoinAnswer.of(stats.joins, success_rate=stats.joins.success_rate),
        summary_states=stats.summaries,
    )
