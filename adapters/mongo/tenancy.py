"""Collections whose documents belong to orgs: nothing can be asked without naming one.

A repository gets an `OrgCollection`, which has no `find`: a forgotten org is a type error. The few
that have to look at all orgs (the reaper, the look-up of a key) say so by `every_org`.
"""

from typing import Any

from motor.motor_asyncio import AsyncIOMotorCollection

from adapters.mongo.documents import Document

Collection = AsyncIOMotorCollection[Document]
Sort = list[tuple[str, int]]


class OrgCollection:
    """A collection of all orgs' documents, each with its `org`."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def of(self, org: str) -> "OrgDocuments":
        """The documents of one org."""
        return OrgDocuments(self._collection, org)

    def every_org(self) -> Collection:
        """The documents of all orgs; never for an answer to a tenant."""
        return self._collection


class OrgDocuments:
    """One org's documents; every filter gets its org."""

    def __init__(self, collection: Collection, org: str) -> None:
        self._collection = collection
        self._org = org

    async def find_one(self, wanted: Document) -> Document | None:
        """The document that fits, or None."""
        return await self._collection.find_one(self._filter(wanted))

    async def find(self, wanted: Document, *, sort: Sort, limit: int) -> list[Document]:
        """The documents that fit, at most `limit`."""
        found = self._collection.find(self._filter(wanted)).sort(sort).limit(limit)
        return await found.to_list(limit)

    async def aggregate(self, wanted: Document, stages: list[Document]) -> list[Document]:
        """What the stages make of the documents that fit."""
        pipeline = [{"$match": self._filter(wanted)}, *stages]
        return await self._collection.aggregate(pipeline).to_list(None)

    async def insert_one(self, document: Document) -> None:
        """Store a new document of this org."""
        await self._collection.insert_one(self._filter(document))

    async def update_one(self, wanted: Document, change: dict[str, Any]) -> bool:
        """Change one document; False if none fits."""
        result = await self._collection.update_one(self._filter(wanted), change)
        return result.matched_count > 0

    async def put_one(self, document: Document) -> None:
        """Store a document under its `_id`, whatever is there."""
        wanted = self._filter({"_id": document["_id"]})
        await self._collection.replace_one(wanted, self._filter(document), upsert=True)

    async def replace_one(self, wanted: Document, document: Document) -> bool:
        """Put a document in the place of the one that fits; False if none does."""
        result = await self._collection.replace_one(self._filter(wanted), self._filter(document))
        return result.matched_count > 0

    async def delete_one(self, wanted: Document) -> bool:
        """Delete one document; False if none fits."""
        return (await self._collection.delete_one(self._filter(wanted))).deleted_count > 0

    async def delete_many(self, wanted: Document) -> int:
        """Delete all documents that fit; returns how many."""
        return (await self._collection.delete_many(self._filter(wanted))).deleted_count

    def _filter(self, wanted: Document) -> Document:
        if wanted.get("org", self._org) != self._org:
            raise AssertionError("a document or filter of another org")
        return {**wanted, "org": self._org}
