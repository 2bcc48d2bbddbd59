"""Statistics of transcripts as the API answers them."""

from datetime import datetime

from pydantic import BaseModel, Field

from domain.transcripts.statistics import Spread, TranscriptStats


class SpreadAnswer(BaseModel):
    """How a figure is spread over the transcripts that have it."""

    count: int
    average: float | None
    p50: float | None
    p95: float | None
    max: float | None


class JoinAnswer(BaseModel):
    """How agents came into their rooms."""

    sessions: int = Field(description="sessions in which an agent was to come")
    joined: int
    successRate: float | None = Field(description="between 0 and 1; null without a session")
    attempts: int
    seconds: SpreadAnswer


class AgentStats(BaseModel):
    """Figures over an agent's transcripts of calls that started from `from` to before `to`."""

    agentId: str
    # `from` is a word of Python's.
    since: datetime = Field(alias="from")
    until: datetime = Field(alias="to")
    count: int
    durationSeconds: SpreadAnswer
    turns: SpreadAnswer
    userTurns: int
    agentTurns: int
    interruptions: int
    toolCalls: int
    toolErrors: int
    recordings: int
    responseSeconds: SpreadAnswer
    cost: SpreadAnswer
    costTotal: float
    join: JoinAnswer
    states: dict[str, int]
    outcomes: dict[str, int]
    endReasons: dict[str, int]
    summaryStates: dict[str, int]


def stats_of(agent: str, since: datetime, until: datetime, stats: TranscriptStats) -> AgentStats:
    """An agent's figures."""
    given = {
        "agentId": agent,
        "from": since,
        "to": until,
        "count": stats.count,
        "durationSeconds": _spread(stats.duration),
        "turns": _spread(stats.turns),
        "userTurns": stats.user_turns,
        "agentTurns": stats.agent_turns,
        "interruptions": stats.interruptions,
        "toolCalls": stats.tool_calls,
        "toolErrors": stats.tool_errors,
        "recordings": stats.recordings,
        "responseSeconds": _spread(stats.response),
        "cost": _spread(stats.cost),
        "costTotal": stats.cost_total,
        "join": JoinAnswer(
            sessions=stats.joins.sessions,
            joined=stats.joins.joined,
            successRate=stats.joins.success_rate,
            attempts=stats.joins.attempts,
            seconds=_spread(stats.joins.seconds),
        ),
        "states": stats.states,
        "outcomes": stats.outcomes,
        "endReasons": stats.end_reasons,
        "summaryStates": stats.summaries,
    }
    return AgentStats.model_validate(given)


def _spread(spread: Spread) -> SpreadAnswer:
    return SpreadAnswer(**spread.model_dump())
