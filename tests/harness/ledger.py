"""What the stack promised to its clients, written down as it was promised.

The invariants are checked against this, not against what the stack says of itself later.
"""

from dataclasses import dataclass, field

from domain.ids import SessionKey, livekit_room_name
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState, SessionStatus
from domain.transcripts.transcript import Turn

TurnKey = tuple[int, str]
"""Attempt and item id: what a turn is known by within its session."""


@dataclass(frozen=True)
class AcceptedStart:
    """A start that was answered with success."""

    key: SessionKey
    room: str
    """LiveKit's name of it."""
    idempotency_key: str | None
    body_digest: str


@dataclass
class Ledger:
    """Everything promised in one run of the suite."""

    starts: list[AcceptedStart] = field(default_factory=list[AcceptedStart])
    turns: dict[SessionKey, dict[TurnKey, Turn]] = field(
        default_factory=dict[SessionKey, dict[TurnKey, Turn]]
    )
    """Turns that were acknowledged to their sender, or shown to a client."""
    endings: dict[SessionKey, set[tuple[Outcome | None, EndReason | None]]] = field(
        default_factory=dict[SessionKey, set[tuple[Outcome | None, EndReason | None]]]
    )
    """Every terminal state that a client was shown; there has to be one at most."""
    reopened: list[SessionKey] = field(default_factory=list[SessionKey])
    """Sessions that were shown as open after they had been shown as closed."""
    error_bodies: list[str] = field(default_factory=list[str])
    secrets: set[str] = field(default_factory=set[str])
    """What must never be seen in a log, in a history or in an error."""
    crowded: list[str] = field(default_factory=list[str])
    """Rooms in which two active agents were seen for too long, in a sentence each."""

    @property
    def sessions(self) -> list[SessionKey]:
        """The sessions that were started, each once, in order."""
        return list(dict.fromkeys(start.key for start in self.starts))

    def rooms(self) -> dict[str, SessionKey]:
        """Sessions by LiveKit's name of their room."""
        return {start.room: start.key for start in self.starts}

    def note_turn(self, key: SessionKey, turn: Turn) -> None:
        """A turn was acknowledged or shown."""
        self.turns.setdefault(key, {}).setdefault((turn.attempt, turn.item_id), turn)

    def note_status(self, status: SessionStatus) -> None:
        """A client was shown a session's status."""
        key = SessionKey(status.org, status.session_id)
        seen = self.endings.setdefault(key, set())
        if status.state is SessionState.CLOSED:
            seen.add((status.outcome, status.end_reason))
        elif seen:
            self.reopened.append(key)

    def canary(self, name: str) -> str:
        """A sentence that must be found nowhere but in MongoDB and with its owner."""
        text = f"canary {name} must stay private"
        self.secrets.add(text)
        return text


def room_of(key: SessionKey) -> str:
    """LiveKit's name of the room of a session that named none."""
    return livekit_room_name(key.org, key.session_id)
