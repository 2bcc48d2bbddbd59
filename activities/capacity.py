"""Ask whether a dispatch would find an agent server with a free place."""

from datetime import UTC, datetime

from pydantic import BaseModel
from temporalio import activity

from domain.agents.ports import AgentServers
from domain.agents.servers import SILENT_AFTER, free_places


class CountFreePlaces(BaseModel):
    """The agent name whose servers are asked for."""

    agent_name: str


class CapacityActivities:
    """Heartbeats of agent servers are in MongoDB; without it (None) nothing is known of them."""

    def __init__(self, servers: AgentServers | None) -> None:
        self._servers = servers

    @activity.defn
    async def count_free_places(self, order: CountFreePlaces) -> int | None:
        """Calls that the agent servers of a name would take now.

        Returns:
            None if that is not known: there is no MongoDB, or no such server sends heartbeats, as
            external agents do not.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        if self._servers is None:
            return None
        now = datetime.now(UTC)
        seen = await self._servers.seen_since(now - SILENT_AFTER)
        return free_places(seen, order.agent_name, now)
