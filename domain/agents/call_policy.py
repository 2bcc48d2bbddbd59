"""What the agent does when the caller is silent, when time runs out, and after a loss."""

from pydantic import Field

from domain.agents.config_base import ConfigModel


class SilencePolicy(ConfigModel):
    """Ask whether the caller is still there, and end the call if nobody answers.

    Silence is time in which the caller is in the room, neither side speaks and no tool runs. All
    times are seconds.
    """

    enabled: bool = True
    nudge_after: float = Field(default=60, ge=1, le=3600)
    """Silence before each question."""
    nudges: int = Field(default=2, ge=0, le=20)
    """How often the agent asks; with 0 it only ends the call."""
    nudge_text: str | None = Field(default=None, min_length=1, max_length=2000)
    """What it says, with dynamic variables; by default the model decides."""
    end_after: float = Field(default=60, ge=1, le=3600)
    """Silence between the last question and the end of the call."""
    goodbye_text: str | None = Field(default=None, min_length=1, max_length=2000)
    """What it says before it ends the call; by default nothing."""


class DurationWarning(ConfigModel):
    """A warning before a call reaches its maximum duration; Everline ends it in any case."""

    seconds_before: float = Field(default=60, ge=1, le=3600)
    text: str | None = Field(default=None, min_length=1, max_length=2000)
    """What the agent says, with dynamic variables; by default the model decides."""
    goodbye_text: str | None = Field(default=None, min_length=1, max_length=2000)
    """What it says when the time is over, within three seconds; by default nothing."""


class RecoveryPolicy(ConfigModel):
    """A sentence for a caller who spoke to an agent that was lost before it answered."""

    enabled: bool = True
    text: str | None = Field(default=None, min_length=1, max_length=2000)
    """What the next agent says, with dynamic variables; by default the model decides."""
