"""Places on agent servers: whether one is free, and release the session's own."""

from datetime import UTC, datetime

from pydantic import BaseModel
from temporalio import activity

from domain.agents.places import capacity
from domain.agents.ports import AgentServers, Places
from domain.agents.servers import SILENT_AFTER
from domain.errors import StorageUnavailable
from domain.ids import SessionKey


class CountFreePlaces(BaseModel):
    """The agent name whose servers are asked for."""

    agent_name: str


class ReleasePlace(BaseModel):
    """The session whose call is over."""

    org: str
    session_id: str


class CapacityActivities:
    """Heartbeats and places are in MongoDB; without it (None) nothing is known of them."""

    def __init__(self, servers: AgentServers | None, places: Places | None) -> None:
        self._servers = servers
        self._places = places

    @activity.defn
    async def count_free_places(self, order: CountFreePlaces) -> int | None:
        """Calls that the agent servers of a name would take now.

        Returns:
            None if that is not known: there is no MongoDB, or no such server sends heartbeats, as
            external agents do not.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        if self._servers is None or self._places is None:
            return None
        now = datetime.now(UTC)
        held = await self._places.of_name(order.agent_name)
        seen = await self._servers.seen_since(now - SILENT_AFTER)
        there = capacity(seen, order.agent_name, held, now)
        return there and there.free

    @activity.defn
    async def release_place(self, order: ReleasePlace) -> bool:
        """Release the session's place, or leave the queue; False if it was in neither."""
        if self._places is None:
            raise StorageUnavailable(
                "the session was started with MongoDB, and this worker has none",
                field="MONGODB_URI",
                cure="set the worker's MONGODB_URI to the API's value",
            )
        return await self._places.release(SessionKey(order.org, order.session_id))
