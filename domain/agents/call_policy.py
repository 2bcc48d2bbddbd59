"""What the agent does when the caller is silent, and when the time of a call runs out."""

from pydantic import Field

from domain.agents.config_model import ConfigModel


class SilencePolicy(ConfigModel):
    """Ask whether the caller is still there, and end the call if nobody answers.

    Silence is the time in which neither side speaks and no tool is at work, while the caller is in
    the room. All times are seconds.
    """

    enabled: bool = True
    nudge_after: float = Field(default=60, ge=1, le=3600)
    """Silence until the agent asks, and again until it asks the next time."""
    nudges: int = Field(default=2, ge=0, le=20)
    """How often it asks; with 0 it only ends the call."""
    nudge_text: str | None = Field(default=None, min_length=1, max_length=2000)
    """What it says, with dynamic variables; without it the model finds the words."""
    end_after: float = Field(default=60, ge=1, le=3600)
    """Silence after the last question until the call is ended."""
    goodbye_text: str | None = Field(default=None, min_length=1, max_length=2000)
    """What it says before it ends the call; without it nothing."""


class DurationWarning(ConfigModel):
    """Words before the maximum duration of a call; Everline ends it in any case."""

    seconds_before: float = Field(default=60, ge=1, le=3600)
    text: str | None = Field(default=None, min_length=1, max_length=2000)
    """What the agent says, with dynamic variables; without it the model finds the words."""
    goodbye_text: str | None = Field(default=None, min_length=1, max_length=2000)
    """What it says when the time is over, within three seconds; without it nothing."""
