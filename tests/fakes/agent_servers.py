"""Agent servers whose heartbeats never stop."""

from datetime import UTC, datetime

from typing_extensions import override

from adapters.memory_agent_servers import MemoryAgentServers
from domain.agents.servers import AgentServer


class AgentServersThere(MemoryAgentServers):
    """One with free places that has just been heard, whatever the time."""

    def __init__(self, agent_name: str) -> None:
        super().__init__()
        self._name = agent_name

    @override
    async def seen_since(self, since: datetime) -> list[AgentServer]:
        there = AgentServer(
            server_id="there",
            agent_name=self._name,
            max_jobs=10,
            draining=False,
            jobs=[],
            last_heartbeat=datetime.now(UTC),
        )
        return [there, *await super().seen_since(since)]
