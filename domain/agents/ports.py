"""Ports of agents: saved configurations and the heartbeats of agent servers.

Every method raises `Unavailable` if the store, or Temporal, does not answer.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.agents.places import Place, Waiting
from domain.agents.saved_agent import AgentKey, SavedAgent
from domain.agents.servers import AgentServer, Heartbeat
from domain.ids import SessionKey
from domain.sessions.messages import AgentLost


class AgentServers(Protocol):
    """The heartbeats of agent servers."""

    async def record(self, heartbeat: Heartbeat, at: datetime) -> list[str]:
        """Store the latest heartbeat of a server; an out-of-order one changes nothing.

        Returns:
            The ids of its condemned jobs: those replaced while the server was silent.
        """
        ...

    async def seen_since(self, since: datetime) -> list[AgentServer]:
        """The servers with a heartbeat since then, sorted by id."""
        ...

    async def prove_path(self, at: datetime) -> None:
        """Check that a heartbeat could be stored, by a write of the same kind."""
        ...


class Places(Protocol):
    """The places that sessions hold on agent servers, and the queue for them."""

    async def claim(self, key: SessionKey, agent_name: str, limit: int) -> bool:
        """Claim a place while fewer than `limit` are held, or claim the session's own again.

        Returns:
            False if none is free. Safe to repeat after an error.
        """
        ...

    async def free(self, key: SessionKey) -> bool:
        """Take the session's place, and its entry in the queue; False if it had neither."""
        ...

    async def release(self, key: SessionKey) -> bool:
        """As `free`, after a call: the time tells how soon places are released."""
        ...

    async def of_name(self, agent_name: str) -> list[Place]:
        """The places that are held under an agent name."""
        ...

    async def all_places(self) -> list[Place]:
        """The places that are held under every agent name."""
        ...

    async def enqueue(self, waiting: Waiting) -> None:
        """Put a session into the queue; one that is in it keeps its turn."""
        ...

    async def leave(self, key: SessionKey) -> bool:
        """Take a session out of the queue; False if it was not in it."""
        ...

    async def is_waiting(self, key: SessionKey) -> bool:
        """Whether the session is in the queue."""
        ...

    async def queue(self) -> list[Waiting]:
        """All sessions that wait, under every agent name."""
        ...

    async def releases(self, agent_name: str) -> list[datetime]:
        """When the last places were released, the oldest first."""
        ...


class SignsOfLife(Protocol):
    """The heartbeats, for the watchdog."""

    async def last_heartbeats(self) -> dict[str, datetime]:
        """Server ids with their last heartbeat, without the servers that are dealt with."""
        ...

    async def server(self, server_id: str) -> AgentServer | None:
        """A server's last heartbeat."""
        ...

    async def dealt_with(self, server_id: str, last_heartbeat: datetime) -> None:
        """Ignore the server until its next heartbeat; does nothing if one has arrived since."""
        ...

    async def condemn(self, server_id: str, job_ids: Sequence[str], at: datetime) -> None:
        """Tell the server to stop these jobs when it sends its next heartbeat."""
        ...


class HeartbeatPath(Protocol):
    """The path of heartbeats: the API at the agents' address, and MongoDB behind it."""

    async def prove(self) -> None:
        """Return if a heartbeat would arrive now; raises `Unavailable` otherwise."""
        ...


class Lease(Protocol):
    """A lease that one of several processes holds at a time."""

    async def hold(self) -> bool:
        """Acquire or renew the lease; False while another process holds it.

        Call it more often than the lease lasts.
        """
        ...

    async def release(self) -> None:
        """Let another process have the lease at once; does nothing if this one does not hold it."""
        ...


class AgentLosses(Protocol):
    """Tells sessions that their agents are lost."""

    async def tell_agent_is_lost(self, key: SessionKey, loss: AgentLost) -> None:
        """Tell a session that its agent's heartbeats stopped; does nothing if it is closed.

        Raises:
            MessageRefused: Temporal takes no message for this session now.
        """
        ...


class SavedAgents(Protocol):
    """Saved agents with their versions; every call names an org.

    An agent that this version cannot read raises `Unreadable`, and is left out of lists.
    Saving raises `InvalidInput` if the configuration cannot be stored.
    """

    async def insert(self, agent: SavedAgent) -> None:
        """Store the first version of a new agent."""
        ...

    async def get(self, key: AgentKey) -> SavedAgent | None:
        """The current version; None if the org has no such agent."""
        ...

    async def to_be_replaced(self, key: AgentKey) -> SavedAgent | None:
        """The current version, with an empty configuration if the stored one is unreadable."""
        ...

    async def list_agents(self, org: str, limit: int, before: str | None) -> list[SavedAgent]:
        """The org's agents, newest first; with `before`, only those older than that id."""
        ...

    async def replace(self, agent: SavedAgent, expected: int) -> bool:
        """Store a new version if the current one is `expected`, else False. Safe to repeat."""
        ...

    async def delete(self, key: AgentKey, expected: int | None, at: datetime) -> bool:
        """Delete an agent with all versions; False if missing or not at `expected`.

        Safe to repeat.
        """
        ...

    async def get_version(self, key: AgentKey, version: int) -> SavedAgent | None:
        """The current or an earlier version; None if it does not exist."""
        ...

    async def list_versions(
        self, key: AgentKey, limit: int, before: int | None
    ) -> list[SavedAgent]:
        """The versions, current one first; with `before`, only those below that number."""
        ...


class CallerSigns(Protocol):
    """The callers' connections as agents report them in heartbeats."""

    async def caller_seen(self, key: SessionKey) -> str | None:
        """The caller's connection (see `JobTick.caller`); None if no live server reports one."""
        ...
