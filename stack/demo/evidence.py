"""What is observed of the demo's call while it happens."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from stack.demo.answers import Started, Status, Summary, Transcript, Turn
from stack.demo.lines import Line
from stack.demo.witness import AgentInRoom


class Step(StrEnum):
    """The steps of the demo, in order."""

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
    """A step failed, for the given reason; the call continues to its end."""

    def __init__(self, step: Step, reason: str) -> None:
        super().__init__(f"{step.value}: {reason}")
        self.step = step
        self.reason = reason


@dataclass
class Exchange:
    """A line that the caller played, and the agent's answer.

    Attributes:
        heard: What was recognised.
        answer: The agent's answer, as text.
        speech_seconds: Length of the answer's audio.
        silence_seconds: From the caller's last word to the agent's first sound.
    """

    line: Line
    heard: str = ""
    answer: str = ""
    speech_seconds: float = 0.0
    silence_seconds: float | None = None


@dataclass
class Evidence:
    """The input of the verdict; what was not reached is None or empty."""

    session_id: str
    lines: list[Line]
    faults: list[StepFailedError] = field(default_factory=list[StepFailedError])
    started: Started | None = None
    start_seconds: float = 0.0
    joined: Status | None = None
    """The status right after the start."""
    agents: list[AgentInRoom] = field(default_factory=list[AgentInRoom])
    """As listed by LiveKit after the caller joined."""
    seen_by_caller: list[str] = field(default_factory=list[str])
    """Identities of the participants that the caller saw in the room."""
    exchanges: list[Exchange] = field(default_factory=list[Exchange])
    live_turns: list[Turn] = field(default_factory=list[Turn])
    """As received from the event stream."""
    speech_seconds: float = 0.0
    """Total length of the agent's audio."""
    recording: Path | None = None
    """What the caller heard."""
    ended: Status | None = None
    """The last status."""
    transcript: Transcript | None = None
    summary: Summary | None = None
    rooms_left: list[str] | None = None
    """Rooms of that name that LiveKit lists afterwards."""
    put_out: bool = False
    """Whether LiveKit closed the caller's own connection."""

    def fault(self, step: Step) -> str | None:
        """Return why a step failed, if it did."""
        return next((fault.reason for fault in self.faults if fault.step is step), None)
