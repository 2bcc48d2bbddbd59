"""What agents need from the outside world: saved configurations, heartbeats of agent servers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.agents.saved_agent import AgentKey, SavedAgent
from domain.agents.servers import AgentServer, Heartbeat
from domain.ids import SessionKey
from domain.sessions.messages import AgentLost


class AgentServers(Protocol):
    """What is known of agent servers by their heartbeats."""

    async def record(self, heartbeat: Heartbeat, at: datetime) -> list[str]:
        """Store the last heartbeat of a server; returns those of its jobs that are condemned."""
        ...

    async def seen_since(self, since: datetime) -> list[AgentServer]:
        """The servers heard of since then."""
        ...

    async def prove_path(self, at: datetime) -> None:
        """Store something as a heartbeat is stored, to see whether that can be done."""
        ...


class SignsOfLife(Protocol):
    """The heartbeats as the watchdog looks at them."""

    async def last_heartbeats(self) -> dict[str, datetime]:
        """When each server was last heard that is not dealt with, by their ids."""
        ...

    async def server(self, server_id: str) -> AgentServer | None:
        """One server as it was last heard."""
        ...

    async def dealt_with(self, server_id: str, last_heartbeat: datetime) -> None:
        """Leave the server out until it is heard again; nothing if it was heard meanwhile."""
        ...

    async def condemn(self, server_id: str, job_ids: Sequence[str], at: datetime) -> None:
        """Have the server told to stop these jobs, if it is ever heard again."""
        ...


class HeartbeatPath(Protocol):
    """The way that heartbeats take: agents' address of the API, the API, MongoDB."""

    async def prove(self) -> None:
        """Return if a heartbeat would arrive now; else `Unavailable`."""
        ...


class Lease(Protocol):
    """What only one of several processes may do at a time."""

    async def hold(self) -> bool:
        """Take or keep the lease; to be called more often than it lasts."""
        ...


class AgentLosses(Protocol):
    """Where sessions are told that their agents are lost."""

    async def tell_agent_is_lost(self, key: SessionKey, loss: AgentLost) -> None:
        """Tell a session; one that is closed needs no telling."""
        ...


class SavedAgents(Protocol):
    """The saved agents of all orgs, each with its versions; no call works without an org."""

    async def insert(self, agent: SavedAgent) -> None:
        """Store the first version of a new agent."""
        ...

    async def get(self, key: AgentKey) -> SavedAgent | None:
        """The current version."""
        ...

    async def to_be_replaced(self, key: AgentKey) -> SavedAgent | None:
        """The current version, without its configuration if that cannot be read."""
        ...

    async def list_agents(self, org: str, limit: int, before: str | None) -> list[SavedAgent]:
        """The org's agents, the newest first; with `before`, those older than that id."""
        ...

    async def replace(self, agent: SavedAgent, expected: int) -> bool:
        """Store a version if `expected` is the current one, which is kept; False if it is not."""
        ...

    async def delete(self, key: AgentKey, expected: int | None, at: datetime) -> bool:
        """Delete an agent with all its versions; False if there is none, or not of this version."""
        ...

    async def get_version(self, key: AgentKey, version: int) -> SavedAgent | None:
        """One version, current or earlier."""
        ...

    async def list_versions(
        self, key: AgentKey, limit: int, before: int | None
    ) -> list[SavedAgent]:
        """The versions, the current one first; with `before`, those below that number."""
        ...


class CallerSigns(Protocol):
    """What agents say of their callers, in the heartbeats of their servers."""

    async def caller_seen(self, key: SessionKey) -> str | None:
        """The caller's connection as in `JobTick.caller`; None if no living agent server says."""
        ...
