"""Saved agents with their versions, behind the port `SavedAgents`.

The current version is one document in `agents`, so that a save is one atomic step; the versions
before it are kept in `agent_versions`. A configuration is stored encrypted as a whole, because it
holds keys of other services; names, numbers and times are readable.
"""

from contextlib import suppress
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pymongo.errors import DuplicateKeyError

from adapters.encryption import CannotDecrypt, EncryptionCodec
from adapters.mongo.client import Database
from adapters.mongo.documents import Document, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.tenancy import OrgCollection
from domain.agent_config import AgentConfig
from domain.errors import StorageUnavailable
from domain.saved_agent import AgentKey, SavedAgent

AGENTS = "agents"
VERSIONS = "agent_versions"

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
            StorageUnavailable: MongoDB does not answer, or has it in a form we cannot read.
        """
        wanted = {"_id": _agent_document_id(key), **_NOT_DELETED}
        async with storage_errors("read an agent"):
            found = await self._agents.of(key.org).find_one(wanted)
        return None if found is None else self._agent(found)

    async def list_agents(self, org: str, limit: int, before: str | None) -> list[SavedAgent]:
        """The org's agents, the newest first; with `before`, those older than that id.

        Raises:
            StorageUnavailable: MongoDB does not answer, or has one in a form we cannot read.
        """
        wanted: Document = dict(_NOT_DELETED)
        if before is not None:
            wanted["agent_id"] = {"$lt": before}
        async with storage_errors("list agents"):
            found = await self._agents.of(org).find(wanted, sort=[("agent_id", -1)], limit=limit)
        return [self._agent(document) for document in found]

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
            StorageUnavailable: MongoDB does not answer, or has it in a form we cannot read.
        """
        current = await self.get(key)
        if current is None or current.version == version:
            return current
        wanted = {"_id": _version_document_id(key, version)}
        async with storage_errors("read an agent's version"):
            found = await self._versions.of(key.org).find_one(wanted)
        return None if found is None or version > current.version else self._agent(found)

    async def list_versions(
        self, key: AgentKey, limit: int, before: int | None
    ) -> list[SavedAgent]:
        """The versions, the current one first; with `before`, those below that number.

        Raises:
            StorageUnavailable: MongoDB does not answer, or has one in a form we cannot read.
        """
        current = await self.get(key)
        if current is None:
            return []
        first = [current] if before is None or current.version < before else []
        below = current.version if before is None else min(before, current.version)
        wanted = {"agent_id": key.agent_id, "version": {"$lt": below}}
        if len(first) == limit:
            return first
        async with storage_errors("list an agent's versions"):
            found = await self._versions.of(key.org).find(
                wanted, sort=[("version", -1)], limit=limit - len(first)
            )
        return [*first, *(self._agent(document) for document in found)]

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
        try:
            config = AgentConfig.model_validate_json(self._codec.unseal(document["config"]))
        except CannotDecrypt as error:
            raise StorageUnavailable(
                f"agent {document['agent_id']} cannot be read: {error.message}",
                field=error.field,
                cure=error.cure,
            ) from None
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors()[:5])
            raise StorageUnavailable(
                f"agent {document['agent_id']} was saved by another version of Everline ({fields})",
                cure="update this Everline, or save the agent again",
            ) from None
        return SavedAgent.model_validate(document | {"config": config})


def _agent_document_id(key: AgentKey) -> str:
    return f"{key.org}/{key.agent_id}"


def _version_document_id(key: AgentKey, version: int) -> str:
    return f"{key.org}/{key.agent_id}/{version}"
