"""Saved agents with their versions.

The current version is one document in `agents`, so a save is one atomic step; earlier versions are
in `agent_versions`. Configurations are encrypted, because they hold keys of other services; names,
numbers and times are readable.
"""

from datetime import datetime

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, document_id, document_of
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import Documents, OrgCollection
from adapters.temporal.encryption import EncryptionCodec
from domain.agents.config import AgentConfig
from domain.agents.ports import SavedAgents
from domain.agents.saved_agent import AgentKey, SavedAgent
from domain.errors import StorageUnavailable, Unreadable
from domain.json_model import FROM_ANOTHER_VERSION, reader

AGENTS = "agents"
VERSIONS = "agent_versions"
_CURE = "update this Everline, or save the agent again, or delete it"

_NOT_DELETED = {"deleted": False}
"""In the index as well: SecantusDB uses an index only if it covers every field of a filter."""


class MongoAgents(SavedAgents):
    """Two collections: current versions and earlier ones."""

    def __init__(self, database: Database, codec: EncryptionCodec) -> None:
        self._agents = OrgCollection(database[AGENTS])
        self._versions = OrgCollection(database[VERSIONS])
        self._codec = codec
        self._stored = StoredModel("agent", self._agent, _CURE)

    @override
    async def insert(self, agent: SavedAgent) -> None:
        document = self._document(agent)
        agents = self._agents.of(agent.org)
        if not await agents.insert_new(document):
            # The driver repeats an insert whose answer was lost; ids are random otherwise.
            found = await agents.find_one({"_id": document["_id"]})
            if found is None or found["config"] != document["config"]:
                raise StorageUnavailable("MongoDB has another agent with this id")

    @override
    async def get(self, key: AgentKey) -> SavedAgent | None:
        found = await self._current(key)
        return None if found is None else self._stored.one(found)

    @override
    async def to_be_replaced(self, key: AgentKey) -> SavedAgent | None:
        try:
            return await self.get(key)
        except Unreadable:  # logged where it was raised
            found = await self._current(key)
            return StoredModel("agent", _without_config, _CURE).one(found) if found else None

    @override
    async def list_agents(self, org: str, limit: int, before: str | None) -> list[SavedAgent]:
        wanted: Document = dict(_NOT_DELETED)
        if before is not None:
            wanted["agent_id"] = {"$lt": before}
        return await self._listed(self._agents.of(org), wanted, "agent_id", limit)

    @override
    async def replace(self, agent: SavedAgent, expected: int) -> bool:
        document = self._document(agent)
        agents, versions = self._agents.of(agent.org), self._versions.of(agent.org)
        current = {"_id": document["_id"], "version": expected, **_NOT_DELETED}
        async with storage_errors("store an agent"):
            found = await agents.find_one(current)
            if found is None:
                return False
            kept = {**found, "_id": document_id(*agent.key, expected)}
            # Stored already by an interrupted save, it is the same: versions never change.
            await versions.insert_new(kept)
            if await agents.update_one(current, {"$set": document}):
                return True
            if await agents.find_one({"_id": document["_id"]}) is None:
                # Deleted in the meantime: do not leave the version behind.
                await versions.delete_one({"_id": kept["_id"]})
        return False

    @override
    async def delete(self, key: AgentKey, expected: int | None, at: datetime) -> bool:
        one = {"_id": document_id(*key)}
        wanted = one if expected is None else {**one, "version": expected}
        agents = self._agents.of(key.org)
        async with storage_errors("delete an agent"):
            # Mark it first: it is invisible from here on, and an interrupted deletion can continue.
            if not await agents.update_one(wanted, {"$set": {"deleted": True, "deleted_at": at}}):
                return False
            await self._versions.of(key.org).delete_many({"agent_id": key.agent_id})
            await agents.delete_one(one)
        return True

    @override
    async def get_version(self, key: AgentKey, version: int) -> SavedAgent | None:
        current = await self._current(key)
        if current is None or version > current["version"]:
            return None
        if version < current["version"]:
            return await self._versions.of(key.org).get(document_id(*key, version), self._stored)
        return self._stored.one(current)

    @override
    async def list_versions(
        self, key: AgentKey, limit: int, before: int | None
    ) -> list[SavedAgent]:
        current = await self._current(key)
        if current is None:
            return []
        newest: int = current["version"]
        shown = before is None or newest < before
        first = self._stored.all([current]) if shown else []
        below = newest if before is None else min(before, newest)
        wanted = {"agent_id": key.agent_id, "version": {"$lt": below}}
        versions = self._versions.of(key.org)
        return [*first, *await self._listed(versions, wanted, "version", limit - len(first))]

    async def _current(self, key: AgentKey) -> Document | None:
        wanted = {"_id": document_id(*key), **_NOT_DELETED}
        return await self._agents.of(key.org).find_one(wanted)

    async def _listed(
        self, documents: Documents, wanted: Document, by: str, limit: int
    ) -> list[SavedAgent]:
        """As many as requested: unreadable ones are skipped and must not shorten the page."""
        agents: list[SavedAgent] = []
        while missing := limit - len(agents):
            found = await documents.find(wanted, sort=[(by, -1)], limit=missing)
            agents += self._stored.all(found)
            if len(found) < missing:
                break
            wanted = {**wanted, by: {"$lt": found[-1][by]}}
        return agents

    def _document(self, agent: SavedAgent) -> Document:
        # Only what was set, so that changed defaults reach agents that never chose a value.
        config = agent.config.model_dump_json(exclude_unset=True)
        return document_of(
            agent,
            "the agent",
            document_id(*agent.key),
            name=agent.config.agent_name,
            config=self._codec.seal(config.encode()),
            **_NOT_DELETED,
        )

    def _agent(self, document: Document) -> SavedAgent:
        config = AgentConfig.model_validate_json(
            self._codec.unseal(document["config"]), context=FROM_ANOTHER_VERSION
        )
        return reader(SavedAgent)(document | {"config": config})


def _without_config(document: Document) -> SavedAgent:
    return reader(SavedAgent)(document | {"config": AgentConfig()})
