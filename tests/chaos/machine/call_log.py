"""What callers saw and did, in wall-clock time; durations are judged against this."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from domain.ids import SessionKey
from tests.chaos.machine.plan import Behaviour


def now() -> datetime:
    """The wall-clock time, as the stack's own processes on this machine have it."""
    return datetime.now(UTC)


@dataclass
class Presence:
    """One stay of a participant in the room; `until` is None while it lasts."""

    since: datetime
    until: datetime | None = None


@dataclass
class CallLog:
    """One caller's call."""

    key: SessionKey
    behaviour: Behaviour | None
    """None for a start of a flood, whose caller never comes."""
    caller: list[Presence] = field(default_factory=list[Presence])
    agents: dict[str, Presence] = field(default_factory=dict[str, Presence])
    """By the identity of the agent."""
    asked_to_end: datetime | None = None
    """When the API accepted the request to end the call."""
    answers: int = 0
    """Sentences of the agent that were read."""

    def joined(self) -> None:
        """The caller is in the room."""
        self.caller.append(Presence(now()))

    def left(self) -> None:
        """The caller is not in the room any more, and so sees nobody."""
        if self.caller and self.caller[-1].until is None:
            self.caller[-1].until = now()
        for agent in self.agents.values():
            agent.until = agent.until or now()

    def agent_joined(self, identity: str) -> None:
        """The caller sees an agent."""
        self.agents.setdefault(identity, Presence(now())).until = None

    def agent_left(self, identity: str) -> None:
        """The caller sees an agent no more."""
        if identity in self.agents:
            self.agents[identity].until = now()

    def seconds_together(self) -> float:
        """From when the caller first saw an agent until the last moment with one."""
        agents: Sequence[Presence] = list(self.agents.values())
        if not agents:
            return 0.0
        last = max(agent.until or now() for agent in agents)
        return (last - min(agent.since for agent in agents)).total_seconds()

    def over_at(self) -> datetime | None:
        """When the caller was gone for good, or the end was accepted; None if neither happened."""
        gone = self.caller[-1].until if self.caller else None
        known = [at for at in (gone, self.asked_to_end) if at is not None]
        return min(known) if known else None
