"""Heartbeats of agent servers, behind the port `AgentServers`, for a stack of several processes."""

from datetime import datetime

from pymongo import WriteConcern

from adapters.mongo.client import Database
from adapters.mongo.documents import dump, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.versioned import replace_if_newer
from domain.agent_servers import AgentServer, Heartbeat

COLLECTION = "agent_servers"
FORGET_AFTER_SECONDS = 24 * 3600
"""When MongoDB deletes a server that is not heard of any more."""


class MongoAgentServers:
    """One document per agent server: its last heartbeat."""

    def __init__(self, database: Database) -> None:
        # The next heartbeat comes in two seconds: none is worth waiting for the disk.
        lightly = WriteConcern(w=1, j=False)
        # motor's stub leaves the type of the parameter `codec_options` open.
        self._servers = database[COLLECTION].with_options(write_concern=lightly)  # pyright: ignore[reportUnknownMemberType]

    async def record(self, heartbeat: Heartbeat, at: datetime) -> None:
        """Store the last heartbeat of a server; one that was overtaken changes nothing.

        Raises:
            StorageUnavailable: MongoDB does not take it.
            InvalidInput: it cannot be stored at all.
        """
        what = "the heartbeat"
        document = {
            "_id": heartbeat.server_id,
            **dump(heartbeat, what),
            "last_heartbeat": at,
        }
        async with storage_errors("store a heartbeat"):
            await replace_if_newer(self._servers, storable(document, what), "last_heartbeat")

    async def seen_since(self, since: datetime) -> list[AgentServer]:
        """The servers heard of since then, by their ids.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read heartbeats"):
            found = await self._servers.find({"last_heartbeat": {"$gte": since}}).to_list(None)
        servers = [AgentServer.model_validate(document) for document in found]
        return sorted(servers, key=lambda server: server.server_id)
