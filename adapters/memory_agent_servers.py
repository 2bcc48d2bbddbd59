"""Heartbeats of agent servers in this process alone: for a stack without MongoDB."""

from datetime import datetime

from domain.agents.servers import AgentServer, Heartbeat

_MOST_SERVERS = 10_000


class MemoryAgentServers:
    """The port `AgentServers` of a single API process; forgotten at its end."""

    def __init__(self) -> None:
        self._servers: dict[str, AgentServer] = {}
        self._numbers: dict[str, int] = {}

    async def record(self, heartbeat: Heartbeat, at: datetime) -> list[str]:
        """Keep the last heartbeat of a server; one that was overtaken changes nothing.

        There is no watchdog that would condemn jobs.
        """
        name = heartbeat.server_id
        if heartbeat.number < self._numbers.get(name, 0):
            return []
        self._servers.pop(name, None)
        self._servers[name] = AgentServer(**heartbeat.model_dump(), last_heartbeat=at)
        self._numbers[name] = heartbeat.number
        while len(self._servers) > _MOST_SERVERS:
            # The one that was silent for longest stands first.
            forgotten = next(iter(self._servers))
            del self._servers[forgotten], self._numbers[forgotten]
        return []

    async def seen_since(self, since: datetime) -> list[AgentServer]:
        """The servers heard of since then, by their ids."""
        seen = [server for server in self._servers.values() if server.last_heartbeat >= since]
        return sorted(seen, key=lambda server: server.server_id)

    async def prove_path(self, at: datetime) -> None:
        """A heartbeat can always be kept in memory."""
