"""Statistics of an agent's transcripts in a time span."""

from pydantic import BaseModel


class Spread(BaseModel):
    """The distribution of a figure over the transcripts that have it.

    Percentiles are MongoDB's `approximate` ones, which are accurate enough for thousands of calls.
    """

    count: int = 0
    """Transcripts that have the figure."""
    average: float | None = None
    p50: float | None = None
    p95: float | None = None
    max: float | None = None


class JoinStats(BaseModel):
    """How agents joined their rooms."""

    sessions: int = 0
    """Sessions in which an agent was, or should have been, dispatched."""
    joined: int = 0
    """Sessions in which an agent was proven in the room."""
    attempts: int = 0
    """Dispatch attempts of all sessions."""
    seconds: Spread = Spread()
    """First dispatch until the agent was proven in the room."""

    @property
    def success_rate(self) -> float | None:
        """Between 0 and 1; None without a session."""
        return self.joined / self.sessions if self.sessions else None


class TranscriptStats(BaseModel):
    """Figures over the transcripts of calls that started in a time span."""

    count: int = 0
    duration: Spread = Spread()
    """Seconds of talk, of calls in which caller and agent met."""
    turns: Spread = Spread()
    user_turns: int = 0
    agent_turns: int = 0
    interruptions: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    recordings: int = 0
    response: Spread = Spread()
    """Seconds from the end of the caller's speech to the agent's first audio, by call medians."""
    cost: Spread = Spread()
    """Estimates in US dollars, over calls whose models all have a known price."""
    cost_total: float = 0
    joins: JoinStats = JoinStats()
    states: dict[str, int] = {}
    outcomes: dict[str, int] = {}
    end_reasons: dict[str, int] = {}
    summaries: dict[str, int] = {}
    """By state; transcripts without a summary are counted as `none`."""
