"""Collections whose documents belong to orgs: nothing can be asked without naming one.

A repository gets an `OrgCollection`, which has no `find`: a forgotten org is a type error. The few
that have to look at all orgs (the reaper, the look-up of a key) say so by `every_org`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import UpdateOne

from adapters.mongo.documents import Document, of_session
from domain.ids import SessionKey

Collection = AsyncIOMotorCollection[Document]
Sort = list[tuple[str, int]]


class OrgCollection:
    """A collection of all orgs' documents, each with its `org`."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def of(self, org: str) -> "OrgDocuments":
        """The documents of one org."""
        return OrgDocuments(self._collection, {"org": org})

    def of_session(self, key: SessionKey) -> "OrgDocuments":
        """The documents of one session, each with its `session_id`."""
        return OrgDocuments(self._collection, of_session(key))

    def every_org(self) -> Collection:
        """The documents of all orgs; never for an answer to a tenant."""
        return self._collection

    async def every_org_behind(
        self, after: str | None, limit: int, wanted: Document | None = None
    ) -> list[Document]:
        """The next documents of all orgs that fit, by their ids; never for an answer to a tenant.

        With `after`, those behind that id.
        """
        behind = {**(wanted or {}), "_id": {"$gt": after or ""}}
        return await self._collection.find(behind).sort("_id", 1).limit(limit).to_list(limit)


@dataclass(frozen=True)
class Change:
    """What is to become of the document that fits.

    Attributes:
        wanted: which one.
        change: MongoDB's update operators.
        upsert: store it if there is none.
    """

    wanted: Document
    change: Document
    upsert: bool = False


class OrgDocuments:
    """One org's documents, or those of one of its sessions; every filter gets their owner."""

    def __init__(self, collection: Collection, owner: Document) -> None:
        self._collection = collection
        self._owner = owner

    async def find_one(self, wanted: Document) -> Document | None:
        """The document that fits, or None."""
        return await self._collection.find_one(self._filter(wanted))

    async def find(self, wanted: Document, *, sort: Sort, limit: int) -> list[Document]:
        """The documents that fit, at most `limit`."""
        found = self._collection.find(self._filter(wanted)).sort(sort).limit(limit)
        return await found.to_list(limit)

    async def find_all(self) -> list[Document]:
        """All of them, in no order."""
        return await self._collection.find(self._owner).to_list(None)

    async def distinct(self, field: str) -> list[Any]:
        """The values that a field has in them."""
        return await self._collection.distinct(field, self._owner)

    async def aggregate(self, wanted: Document, stages: list[Document]) -> list[Document]:
        """What the stages make of the documents that fit."""
        pipeline = [{"$match": self._filter(wanted)}, *stages]
        return await self._collection.aggregate(pipeline).to_list(None)

    async def insert_one(self, document: Document) -> None:
        """Store a new document of this org."""
        await self._collection.insert_one(self._filter(document))

    async def update_one(self, wanted: Document, change: Document, *, upsert: bool = False) -> bool:
        """Change one document, or store it; False if none fits."""
        result = await self._collection.update_one(self._filter(wanted), change, upsert=upsert)
        return result.matched_count > 0

    async def apply(self, changes: Sequence[Change]) -> int:
        """Make changes one after the other; returns how many documents are new.

        Raises:
            BulkWriteError: one could not be made; those before it are.
        """
        writes = [UpdateOne(self._filter(c.wanted), c.change, upsert=c.upsert) for c in changes]
        # motor's stub leaves the type of the parameter `let` open.
        result = await self._collection.bulk_write(writes, ordered=True)  # pyright: ignore[reportUnknownMemberType]
        return result.upserted_count

    async def put_one(self, document: Document) -> None:
        """Store a document under its `_id`, whatever is there."""
        await self.replace_one({"_id": document["_id"]}, document, upsert=True)

    async def replace_one(
        self, wanted: Document, document: Document, *, upsert: bool = False
    ) -> bool:
        """Put a document in the place of the one that fits, or store it; False if none does."""
        result = await self._collection.replace_one(
            self._filter(wanted), self._filter(document), upsert=upsert
        )
        return result.matched_count > 0

    async def delete_one(self, wanted: Document) -> bool:
        """Delete one document; False if none fits."""
        return (await self._collection.delete_one(self._filter(wanted))).deleted_count > 0

    async def delete_many(self, wanted: Document) -> int:
        """Delete all documents that fit; returns how many."""
        return (await self._collection.delete_many(self._filter(wanted))).deleted_count

    def _filter(self, wanted: Document) -> Document:
        if any(wanted.get(field, value) != value for field, value in self._owner.items()):
            raise AssertionError("a document or filter of another owner")
        return wanted | self._owner
