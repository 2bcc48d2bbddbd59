"""Heartbeats of agent servers, behind the ports `AgentServers`, `SignsOfLife` and `CallerSigns`."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from pymongo import WriteConcern
from pymongo.errors import DuplicateKeyError

from adapters.mongo.client import Database
from adapters.mongo.documents import dump, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import read_all, read_one
from domain.agents.servers import AgentServer, Heartbeat
from domain.ids import SessionKey
from domain.json_model import reader

COLLECTION = "agent_servers"
CONDEMNED = "condemned_jobs"
PATH = "heartbeat_path"
NUMBER = "number"
DEALT_WITH = "dealt_with"
"""Gone with the next heartbeat, which takes the whole document's place."""
FORGET_AFTER_SECONDS = 24 * 3600
"""When MongoDB deletes a server that is not heard of any more."""


class MongoAgentServers:
    """One document per agent server: its last heartbeat; and one with the jobs it has to stop."""

    def __init__(self, database: Database) -> None:
        # The next heartbeat comes in two seconds: none is worth waiting for the disk.
        lightly = WriteConcern(w=1, j=False)
        # motor's stub leaves the type of the parameter `codec_options` open.
        self._servers = database[COLLECTION].with_options(write_concern=lightly)  # pyright: ignore[reportUnknownMemberType]
        self._path = database[PATH].with_options(write_concern=lightly)  # pyright: ignore[reportUnknownMemberType]
        self._condemned = database[CONDEMNED]

    async def record(self, heartbeat: Heartbeat, at: datetime) -> list[str]:
        """Store the last heartbeat of a server; one that was overtaken changes nothing.

        Returns:
            Those of its jobs that were given to others while it was silent.

        Raises:
            StorageUnavailable: MongoDB does not take it.
            InvalidInput: it cannot be stored at all.
        """
        what = "the heartbeat"
        server = AgentServer(**heartbeat.model_dump(), last_heartbeat=at)
        document = {"_id": server.server_id, NUMBER: heartbeat.number, **dump(server, what)}
        # By its number: several APIs take heartbeats, each with a clock of its own.
        last = {"_id": server.server_id, NUMBER: {"$not": {"$gt": heartbeat.number}}}
        async with storage_errors("store a heartbeat"):
            # A later one has the id already, and stays.
            with suppress(DuplicateKeyError):
                await self._servers.replace_one(last, storable(document, what), upsert=True)
            condemned = await self._condemned.find_one({"_id": heartbeat.server_id})
        stop = set(condemned["jobs"]) if condemned else set[str]()
        return [job.job_id for job in heartbeat.jobs if job.job_id in stop]

    async def seen_since(self, since: datetime) -> list[AgentServer]:
        """The servers heard of since then, by their ids.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read heartbeats"):
            found = await self._servers.find({"last_heartbeat": {"$gte": since}}).to_list(None)
        servers = read_all(found, reader(AgentServer), "agent server")
        return sorted(servers, key=lambda server: server.server_id)

    async def prove_path(self, at: datetime) -> None:
        """Store something as a heartbeat is stored.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        async with storage_errors("store a heartbeat"):
            await self._path.replace_one({"_id": PATH}, {"at": at}, upsert=True)

    async def last_heartbeats(self) -> dict[str, datetime]:
        """When each server was last heard that is not dealt with, by their ids.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read heartbeats"):
            found = self._servers.find({DEALT_WITH: {"$exists": False}}, {"last_heartbeat": 1})
            return {each["_id"]: each["last_heartbeat"] for each in await found.to_list(None)}

    async def server(self, server_id: str) -> AgentServer | None:
        """One server as it was last heard.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read heartbeats"):
            found = await self._servers.find_one({"_id": server_id})
        return read_one(found, reader(AgentServer), "agent server") if found else None

    async def caller_seen(self, key: SessionKey) -> str | None:
        """The caller's connection as the session's agent sees it; see `JobTick.caller`.

        Only servers that the watchdog believes alive are asked, so no clocks are compared.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        alive = {"jobs.session_id": key.session_id, DEALT_WITH: {"$exists": False}}
        async with storage_errors("read heartbeats"):
            found = await self._servers.find(alive).to_list(None)
        servers = read_all(found, reader(AgentServer), "agent server")
        said = [job.caller for server in servers for job in server.jobs if job.key == key]
        # The agent of an earlier attempt may still be leaving: one that sees the caller suffices.
        return max((caller for caller in said if caller is not None), default=None)

    async def dealt_with(self, server_id: str, last_heartbeat: datetime) -> None:
        """Leave the server out until it is heard again; nothing if it was heard meanwhile.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        silent = {"_id": server_id, "last_heartbeat": last_heartbeat}
        async with storage_errors("put a silent agent server aside"):
            await self._servers.update_one(silent, {"$set": {DEALT_WITH: True}})

    async def condemn(self, server_id: str, job_ids: Sequence[str], at: datetime) -> None:
        """Have the server told to stop these jobs, if it is ever heard again.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        document = {"_id": server_id, "jobs": list(job_ids), "at": at}
        async with storage_errors("condemn jobs"):
            await self._condemned.replace_one({"_id": server_id}, document, upsert=True)
