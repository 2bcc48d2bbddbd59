"""Saved agents with their versions, behind the port `SavedAgents`.

The current version is one document in `agents`, so that a save is one atomic step; the versions
before it are kept in `agent_versions`. A configuration is stored encrypted as a whole, because it
holds keys of other services; names, numbers and times are readable.
"""

from contextlib import suppress
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import read_all, read_one
from adapters.mongo.tenancy import OrgCollection, OrgDocuments
from adapters.temporal.encryption import EncryptionCodec
from domain.agents.config import AgentConfig
from domain.agents.saved_agent import AgentKey, SavedAgent
from domain.errors import StorageUnavailable, Unreadable
from domain.json_model import FROM_ANOTHER_VERSION, reader

AGENTS = "agents"
VERSIONS = "agent_versions"
_WHAT = "agent"
_CURE = "update this Everline, or save the agent again, or delete it"

_NOT_DELETED = {"deleted": False}
"""In the index as well: SecantusDB takes an index only if it has every field of a filter."""


class MongoAgents:
    """Two collections: what agents are, and what they were."""

    def __init__(self, database: Database, codec: EncryptionCodec) -> None:
        self._agents = OrgCollection(database[AGENTS])
        self._versions = OrgCollection(database[VERSIONS])
        self._codec = codec

    async def insert(self, agent: SavedAgent) -> None:
        """Store the first version of a new agent.

        Raises:
            StorageUnavailable: MongoDB does not take it.
            InvalidInput: it cannot be stored at all.
        """
        document = self._document(agent)
        async with storage_errors("store an agent"):
            try:
                await self._agents.of(agent.org).insert_one(document)
            except DuplicateKeyError:
                # The driver repeats an insert whose answer was lost; ids are random otherwise.
                found = await self._agents.of(agent.org).find_one({"_id": document["_id"]})
                if found is None or found["config"] != document["config"]:
                    raise StorageUnavailable("MongoDB has another agent of this id") from None

    async def get(self, key: AgentKey) -> SavedAgent | None:
        """The current version; None if there is none in this org.

        Raises:
            StorageUnavailable: MongoDB does not answer.
            Unreadable: it is stored in a form that we cannot read.
        """
        found = await self._current(key)
        return None if found is None else read_one(found, self._agent, _WHAT, _CURE)

    async def to_be_replaced(self, key: AgentKey) -> SavedAgent | None:
        """The current version, without its configuration if that cannot be read.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        found = await self._current(key)
        if found is None:
            return None
        try:
            return read_one(found, self._agent, _WHAT, _CURE)
        except Unreadable:  # logged where it was raised
            return read_one(found, _without_config, _WHAT, _CURE)

    async def list_agents(self, org: str, limit: int, before: str | None) -> list[SavedAgent]:
        """The org's agents, the newest first; with `before`, those older than that id.

        Those that cannot be read are left out, and named in the log.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        wanted: Document = dict(_NOT_DELETED)
        if before is not None:
            wanted["agent_id"] = {"$lt": before}
        async with storage_errors("list agents"):
            return await self._listed(self._agents.of(org), wanted, "agent_id", limit)

    async def replace(self, agent: SavedAgent, expected: int) -> bool:
        """Store a version if `expected` is the current one, which is kept; False if it is not.

        Raises:
            StorageUnavailable: MongoDB does not take it; the same call again is safe.
            InvalidInput: it cannot be stored at all.
        """
        document = self._document(agent)
        agents, versions = self._agents.of(agent.org), self._versions.of(agent.org)
        current = {"_id": document["_id"], "version": expected, **_NOT_DELETED}
        async with storage_errors("store an agent"):
            found = await agents.find_one(current)
            if found is None:
                return False
            kept = {**found, "_id": _version_document_id(agent.key, expected)}
            # A duplicate was kept by a save that was interrupted; versions never change.
            with suppress(DuplicateKeyError):
                await versions.insert_one(kept)
            fields = {name: value for name, value in document.items() if name != "_id"}
            if await agents.update_one(current, {"$set": fields}):
                return True
            if await agents.find_one({"_id": document["_id"]}) is None:
                # Deleted in between, and what was just kept would have been left behind.
                await versions.delete_one({"_id": kept["_id"]})
        return False

    async def delete(self, key: AgentKey, expected: int | None, at: datetime) -> bool:
        """Delete an agent with all its versions; False if there is none, or not of this version.

        Raises:
            StorageUnavailable: MongoDB does not do it; the same call again is safe.
        """
        document_id = _agent_document_id(key)
        wanted: Document = {"_id": document_id}
        if expected is not None:
            wanted["version"] = expected
        agents = self._agents.of(key.org)
        async with storage_errors("delete an agent"):
            # Marked first: from here on nobody sees it, and an interrupted deletion can go on.
            if not await agents.update_one(wanted, {"$set": {"deleted": True, "deleted_at": at}}):
                return False
            await self._versions.of(key.org).delete_many({"agent_id": key.agent_id})
            await agents.delete_one({"_id": document_id})
        return True

    async def get_version(self, key: AgentKey, version: int) -> SavedAgent | None:
        """One version, current or earlier; None if there is no such one.

        Raises:
            StorageUnavailable: MongoDB does not answer.
            Unreadable: it is stored in a form that we cannot read.
        """
        current = await self._current(key)
        if current is None or version > current["version"]:
            return None
        found = current
        if version < current["version"]:
            wanted = {"_id": _version_document_id(key, version)}
            async with storage_errors("read an agent's version"):
                found = await self._versions.of(key.org).find_one(wanted)
        return None if found is None else read_one(found, self._agent, _WHAT, _CURE)

    async def list_versions(
        self, key: AgentKey, limit: int, before: int | None
    ) -> list[SavedAgent]:
        """The versions, the current one first; with `before`, those below that number.

        Those that cannot be read are left out, and named in the log.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        current = await self._current(key)
        if current is None:
            return []
        newest: int = current["version"]
        shown = before is None or newest < before
        first = read_all([current], self._agent, _WHAT) if shown else []
        below = newest if before is None else min(before, newest)
        wanted = {"agent_id": key.agent_id, "version": {"$lt": below}}
        async with storage_errors("list an agent's versions"):
            versions = self._versions.of(key.org)
            return [*first, *await self._listed(versions, wanted, "version", limit - len(first))]

    async def _current(self, key: AgentKey) -> Document | None:
        wanted = {"_id": _agent_document_id(key), **_NOT_DELETED}
        async with storage_errors("read an agent"):
            return await self._agents.of(key.org).find_one(wanted)

    async def _listed(
        self, documents: OrgDocuments, wanted: Document, by: str, limit: int
    ) -> list[SavedAgent]:
        """As many as were asked for, so that one that cannot be read does not end the list."""
        agents: list[SavedAgent] = []
        while missing := limit - len(agents):
            found = await documents.find(wanted, sort=[(by, -1)], limit=missing)
            agents += read_all(found, self._agent, _WHAT)
            if len(found) < missing:
                break
            wanted = {**wanted, by: {"$lt": found[-1][by]}}
        return agents

    def _document(self, agent: SavedAgent) -> Document:
        # Only what was set: a default that is changed later reaches agents that never chose one.
        config = agent.config.model_dump_json(exclude_unset=True)
        fields: dict[str, Any] = agent.model_dump(exclude={"config"})
        document: Document = {
            "_id": _agent_document_id(agent.key),
            **fields,
            "name": agent.config.agent_name,
            "config": self._codec.seal(config.encode()),
            **_NOT_DELETED,
        }
        return storable(document, "the agent")

    def _agent(self, document: Document) -> SavedAgent:
        config = AgentConfig.model_validate_json(
            self._codec.unseal(document["config"]), context=FROM_ANOTHER_VERSION
        )
        return reader(SavedAgent)(document | {"config": config})


def _without_config(document: Document) -> SavedAgent:
    return reader(SavedAgent)(document | {"config": AgentConfig()})


def _agent_document_id(key: AgentKey) -> str:
    return f"{key.org}/{key.agent_id}"


def _version_document_id(key: AgentKey, version: int) -> str:
    return f"{key.org}/{key.agent_id}/{version}"
