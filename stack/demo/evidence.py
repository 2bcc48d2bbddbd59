"""What is observed of the demo's call while it happens."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from stack.demo.client import Started, Status, Summary, Transcript, Turn
from stack.demo.lines import Line


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


@dataclass(frozen=True)
class AgentInRoom:
    """An agent participant as LiveKit lists it, with its `everline.attempt` attribute."""

    identity: str
    active: bool
    attempt: str | None


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
    """The input of the verdict; what was not reached is None or empty.

    Attributes:
        faults: Why steps failed.
        joined: The status right after the start.
        agents: As listed by LiveKit after the caller joined.
        seen_by_caller: Identities of the participants that the caller saw in the room.
        live_turns: As received from the event stream.
        speech_seconds: Total length of the agent's audio.
        recording: What the caller heard.
        ended: The last status.
        rooms_left: Rooms of that name that LiveKit lists afterwards.
        disconnected: Whether LiveKit closed the caller's own connection.
    """

    session_id: str
    lines: list[Line]
    faults: dict[Step, str] = field(default_factory=dict[Step, str])
    started: Started | None = None
    start_seconds: float = 0.0
    joined: Status | None = None
    agents: list[AgentInRoom] = field(default_factory=list[AgentInRoom])
    seen_by_caller: list[str] = field(default_factory=list[str])
    exchanges: list[Exchange] = field(default_factory=list[Exchange])
    live_turns: list[Turn] = field(default_factory=list[Turn])
    speech_seconds: float = 0.0
    recording: Path | None = None
    ended: Status | None = None
    transcript: Transcript | None = None
    summary: Summary | None = None
    rooms_left: list[str] | None = None
    disconnected: bool = False
