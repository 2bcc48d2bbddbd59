"""Heartbeats of agent servers."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from pymongo import WriteConcern
from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import document_of
from adapters.mongo.errors import AlreadyStored, storage_errors
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import Documents
from domain.agents.ports import AgentServers, CallerSigns, SignsOfLife
from domain.agents.servers import AgentServer, Heartbeat
from domain.ids import SessionKey
from domain.json_model import reader

COLLECTION = "agent_servers"
CONDEMNED = "condemned_jobs"
PATH = "heartbeat_path"
DEALT_WITH = "dealt_with"
"""Removed by the next heartbeat, which replaces the whole document."""
FORGET_AFTER_SECONDS = 24 * 3600
"""When MongoDB deletes a server that sends no more heartbeats."""
_SERVER = StoredModel("agent server", reader(AgentServer))


class MongoAgentServers(AgentServers, SignsOfLife, CallerSigns):
    """One document per agent server with its last heartbeat, and one with its condemned jobs."""

    def __init__(self, database: Database) -> None:
        # The next heartbeat comes in two seconds: none is worth waiting for the disk.
        lightly = WriteConcern(w=1, j=False)
        # motor's stub leaves the type of the parameter `codec_options` open.
        self._servers = Documents(database[COLLECTION].with_options(write_concern=lightly))  # pyright: ignore[reportUnknownMemberType]
        self._path = Documents(database[PATH].with_options(write_concern=lightly))  # pyright: ignore[reportUnknownMemberType]
        self._condemned = Documents(database[CONDEMNED])

    @override
    async def record(self, heartbeat: Heartbeat, at: datetime) -> list[str]:
        server = AgentServer(**heartbeat.model_dump(), last_heartbeat=at)
        document = document_of(server, "the heartbeat", server.server_id, number=heartbeat.number)
        # By number, not time: several API processes store heartbeats, each with its own clock.
        last = {"_id": server.server_id, "number": {"$not": {"$gt": heartbeat.number}}}
        async with storage_errors("store a heartbeat"):
            # A later heartbeat has the id already, and stays.
            with suppress(AlreadyStored):
                await self._servers.replace_one(last, document, upsert=True)
            condemned = await self._condemned.find_one({"_id": heartbeat.server_id})
        stop = set(condemned["jobs"]) if condemned else set[str]()
        return [job.job_id for job in heartbeat.jobs if job.job_id in stop]

    @override
    async def seen_since(self, since: datetime) -> list[AgentServer]:
        servers = _SERVER.all(await self._servers.find({"last_heartbeat": {"$gte": since}}))
        return sorted(servers, key=lambda server: server.server_id)

    @override
    async def prove_path(self, at: datetime) -> None:
        await self._path.put_one({"_id": PATH, "at": at})

    @override
    async def last_heartbeats(self) -> dict[str, datetime]:
        alive = {DEALT_WITH: {"$exists": False}}
        found = await self._servers.find(alive, {"last_heartbeat": 1})
        return {each["_id"]: each["last_heartbeat"] for each in found}

    @override
    async def server(self, server_id: str) -> AgentServer | None:
        return await self._servers.get(server_id, _SERVER)

    @override
    async def caller_seen(self, key: SessionKey) -> str | None:
        # Only servers that the watchdog believes alive, so that no clocks are compared.
        alive = {"jobs.session_id": key.session_id, DEALT_WITH: {"$exists": False}}
        servers = _SERVER.all(await self._servers.find(alive))
        said = [job.caller for server in servers for job in server.jobs if job.key == key]
        # The agent of an earlier attempt may still be leaving: one that sees the caller suffices.
        return max((caller for caller in said if caller is not None), default=None)

    @override
    async def dealt_with(self, server_id: str, last_heartbeat: datetime) -> None:
        silent = {"_id": server_id, "last_heartbeat": last_heartbeat}
        await self._servers.update_one(silent, {"$set": {DEALT_WITH: True}})

    @override
    async def condemn(self, server_id: str, job_ids: Sequence[str], at: datetime) -> None:
        await self._condemned.put_one({"_id": server_id, "jobs": list(job_ids), "at": at})
