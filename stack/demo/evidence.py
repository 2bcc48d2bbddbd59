"""What was seen of the demo's call, collected while it happens."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from stack.demo.answers import Started, Status, Summary, Transcript, Turn
from stack.demo.lines import Line
from stack.demo.witness import AgentInRoom


class Step(StrEnum):
    """What has to happen, in this order."""

    START = "start"
    JOIN = "join proof"
    RECOGNITION = "recognition"
    ANSWERS = "answers"
    AUDIO = "agent audio"
    END = "end"
    TRANSCRIPT = "transcript"
    SUMMARY = "summary"
    ROOM = "room gone"


class StepFailedError(Exception):
    """A step could not be done; the call goes on to its end all the same.

    Attributes:
        step: Which one.
        reason: Why, in a sentence.
    """

    def __init__(self, step: Step, reason: str) -> None:
        super().__init__(f"{step.value}: {reason}")
        self.step = step
        self.reason = reason


@dataclass
class Exchange:
    """One line of the caller's and what came of it.

    Attributes:
        line: What was played.
        heard: What the agent's ears made of it.
        answer: What the agent said to it, as text.
        speech_seconds: How long the agent was heard answering.
        silence_seconds: From the caller's last word to the agent's first sound.
    """

    line: Line
    heard: str = ""
    answer: str = ""
    speech_seconds: float = 0.0
    silence_seconds: float | None = None


@dataclass
class Evidence:
    """Everything that the verdict is made of; what was not reached is None or empty."""

    session_id: str
    lines: list[Line]
    faults: list[StepFailedError] = field(default_factory=list[StepFailedError])
    started: Started | None = None
    start_seconds: float = 0.0
    joined: Status | None = None
    """The status right after the start."""
    agents: list[AgentInRoom] = field(default_factory=list[AgentInRoom])
    """As LiveKit listed them once the caller was there."""
    seen_by_caller: list[str] = field(default_factory=list[str])
    """Identities of those whom the caller met in the room."""
    exchanges: list[Exchange] = field(default_factory=list[Exchange])
    live_turns: list[Turn] = field(default_factory=list[Turn])
    """As the event stream told them."""
    speech_seconds: float = 0.0
    """How long the agent was heard in all."""
    recording: Path | None = None
    """What the caller heard."""
    ended: Status | None = None
    """The last status."""
    transcript: Transcript | None = None
    summary: Summary | None = None
    rooms_left: list[str] | None = None
    """Rooms of that name that LiveKit still lists."""
    put_out: bool = False
    """Whether LiveKit closed the caller's own connection."""

    def fault(self, step: Step) -> str | None:
        """Why a step could not be done, if it could not."""
        return next((fault.reason for fault in self.faults if fault.step is step), None)
