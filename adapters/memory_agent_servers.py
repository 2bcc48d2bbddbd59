"""Heartbeats of agent servers in memory, for a stack without MongoDB."""

from datetime import datetime

from typing_extensions import override

from domain.agents.ports import AgentServers
from domain.agents.servers import AgentServer, Heartbeat

_MOST_SERVERS = 10_000


class MemoryAgentServers(AgentServers):
    """For a single API process. Without a watchdog, no jobs are ever condemned."""

    def __init__(self) -> None:
        self._servers: dict[str, tuple[int, AgentServer]] = {}

    @override
    async def record(self, heartbeat: Heartbeat, at: datetime) -> list[str]:
        name, number = heartbeat.server_id, heartbeat.number
        if name in self._servers and number < self._servers[name][0]:
            return []
        self._servers.pop(name, None)
        self._servers[name] = number, AgentServer(**heartbeat.model_dump(), last_heartbeat=at)
        while len(self._servers) > _MOST_SERVERS:
            # The one that was silent for longest comes first.
            del self._servers[next(iter(self._servers))]
        return []

    @override
    async def seen_since(self, since: datetime) -> list[AgentServer]:
        seen = [server for _, server in self._servers.values() if server.last_heartbeat >= since]
        return sorted(seen, key=lambda server: server.server_id)

    @override
    async def prove_path(self, at: datetime) -> None:
        """Does nothing: memory is always available."""
