"""Collections whose documents belong to orgs: every query has to name one.

A repository gets an `OrgCollection`, which has no `find`: a forgotten org is a type error. Code
that has to see all orgs (the reaper, the look-up of a key) calls `every_org`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import ReturnDocument, UpdateOne

from adapters.mongo.documents import Document
from adapters.mongo.errors import AlreadyStored, storage_errors
from adapters.mongo.reading import Model, StoredModel
from adapters.mongo.sort_keys import check_sort_key
from domain.ids import SessionKey
from domain.paging import Page

Collection = AsyncIOMotorCollection[Document]
Sort = list[tuple[str, int]]


class Change(NamedTuple):
    """An update of the documents that match, by MongoDB's operators, or the insertion of one."""

    wanted: Document
    change: Document
    upsert: bool = False


class Documents:
    """Documents of one owner: an org, one of its sessions, or (without one) the installation.

    The owner is added to every filter and document. Each call has the time limit of
    `storage_errors` and raises its errors, `AlreadyStored` among them.
    """

    def __init__(self, collection: Collection, owner: Document | None = None) -> None:
        self._collection = collection
        self._owner = owner or {}
        self._reading = f"read from {collection.name}"
        self._writing = f"write to {collection.name}"

    async def find_one(self, wanted: Document) -> Document | None:
        """A matching document, or None."""
        async with storage_errors(self._reading):
            return await self._collection.find_one(self._filter(wanted))

    async def get(self, document_id: str, stored: StoredModel[Model]) -> Model | None:
        """The model of the document with this `_id`, or None; see `StoredModel.one`."""
        found = await self.find_one({"_id": document_id})
        return None if found is None else stored.one(found)

    async def find(
        self,
        wanted: Document | None = None,
        fields: Document | None = None,
        *,
        sort: Sort | None = None,
        limit: int = 0,
    ) -> list[Document]:
        """The matching documents, at most `limit` unless it is 0; with `fields`, only these."""
        wanted = self._filter(wanted or {})
        async with storage_errors(self._reading):
            found = self._collection.find(wanted, fields, sort=sort, limit=limit)
            return await found.to_list(None)

    async def page(
        self,
        wanted: Document,
        limit: int,
        stored: StoredModel[Model],
        after: str | None = None,
    ) -> Page[Model]:
        """A page of the matching documents, newest first; see `check_sort_key`."""
        if after is not None:
            wanted = {**wanted, "place": {"$lt": check_sort_key(after)}}
        found = await self.find(wanted, sort=[("place", -1)], limit=limit + 1)
        return stored.page(found, limit, "place")

    async def page_by_id(
        self,
        limit: int,
        stored: StoredModel[Model],
        after: str | None,
        wanted: Document | None = None,
    ) -> Page[Model]:
        """A page of the matching documents in the order of their ids, starting after `after`."""
        beyond = {**(wanted or {}), "_id": {"$gt": after or ""}}
        found = await self.find(beyond, sort=[("_id", 1)], limit=limit + 1)
        return stored.page(found, limit, "_id")

    async def distinct(self, field: str) -> list[Any]:
        """The values of a field."""
        async with storage_errors(self._reading):
            return await self._collection.distinct(field, self._owner)

    async def aggregate(self, wanted: Document, stages: list[Document]) -> list[Document]:
        """The result of the stages for the matching documents."""
        pipeline = [{"$match": self._filter(wanted)}, *stages]
        async with storage_errors(self._reading):
            return await self._collection.aggregate(pipeline).to_list(None)

    async def insert_one(self, document: Document) -> None:
        """Store a new document."""
        async with storage_errors(self._writing):
            await self._collection.insert_one(self._filter(document))

    async def insert_new(self, document: Document) -> bool:
        """Store a new document; False if another has its id or its unique value."""
        try:
            await self.insert_one(document)
        except AlreadyStored:
            return False
        return True

    async def update_one(self, wanted: Document, change: Document, *, upsert: bool = False) -> bool:
        """Update a matching document, or insert it; False if none matched."""
        async with storage_errors(self._writing):
            result = await self._collection.update_one(self._filter(wanted), change, upsert=upsert)
        return result.matched_count > 0

    async def increment(self, document_id: str, by: dict[str, int]) -> Document:
        """Add to numbers of a document, which is created if need be; returns it as it is then."""
        wanted = self._filter({"_id": document_id})
        while True:
            async with storage_errors(self._writing):
                answer: object = await self._collection.find_one_and_update(
                    wanted, {"$inc": by}, return_document=ReturnDocument.AFTER
                )
            # motor's stub does not know that there may be none.
            found = cast("Document | None", answer)
            if found is not None:
                return found
            # Not an upsert: of two at the same time, one would fail.
            await self.insert_new({**wanted, **dict.fromkeys(by, 0)})

    async def count(self, wanted: Document) -> int:
        """How many documents match."""
        async with storage_errors(self._reading):
            return await self._collection.count_documents(self._filter(wanted))

    async def apply(self, changes: Sequence[Change]) -> set[str]:
        """Make changes in order; returns the ids of new documents.

        Raises:
            BulkWriteError: one failed; those before it are made. To be called in `storage_errors`.
        """
        writes = [UpdateOne(self._filter(each), do, upsert=new) for each, do, new in changes]
        # motor's stub leaves the type of the parameter `let` open.
        result = await self._collection.bulk_write(writes, ordered=True)  # pyright: ignore[reportUnknownMemberType]
        return set((result.upserted_ids or {}).values())

    async def put_one(self, document: Document) -> None:
        """Store a document under its `_id`, replacing any other."""
        await self.replace_one({"_id": document["_id"]}, document, upsert=True)

    async def replace_one(
        self, wanted: Document, document: Document, *, upsert: bool = False
    ) -> bool:
        """Replace a matching document, or insert it; False if none matched."""
        async with storage_errors(self._writing):
            result = await self._collection.replace_one(
                self._filter(wanted), self._filter(document), upsert=upsert
            )
        return result.matched_count > 0

    async def delete_one(self, wanted: Document) -> bool:
        """Delete a matching document; False if there is none."""
        async with storage_errors(self._writing):
            return (await self._collection.delete_one(self._filter(wanted))).deleted_count > 0

    async def delete_many(self, wanted: Document) -> int:
        """Delete all matching documents; returns how many."""
        async with storage_errors(self._writing):
            return (await self._collection.delete_many(self._filter(wanted))).deleted_count

    def _filter(self, wanted: Document) -> Document:
        if any(wanted.get(field, value) != value for field, value in self._owner.items()):
            raise AssertionError("a document or filter of another owner")
        return wanted | self._owner


class OrgCollection:
    """A collection with documents of all orgs, each with its `org`."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def of(self, org: str) -> Documents:
        """The documents of one org."""
        return Documents(self._collection, {"org": org})

    def of_session(self, key: SessionKey) -> Documents:
        """The documents of one session, each with its `session_id`."""
        return Documents(self._collection, key._asdict())

    def every_org(self) -> Documents:
        """The documents of all orgs; never for an answer to a tenant."""
        return Documents(self._collection)
