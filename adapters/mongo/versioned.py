"""Writes that never let older knowledge replace newer."""

from datetime import datetime
from typing import Any, Protocol

from pymongo.errors import DuplicateKeyError

from adapters.mongo.documents import Document
from domain.errors import StorageUnavailable

_ATTEMPTS = 5


class Documents(Protocol):
    """A whole collection, or an owner's part of it."""

    async def find_one(self, wanted: Document, /) -> Document | None:
        """The document that fits, or None."""
        ...

    async def replace_one(self, wanted: Document, document: Document, /, *, upsert: bool) -> Any:
        """Put a document in the place of the one that fits, or store it."""
        ...


async def replace_if_newer(documents: Documents, document: Document, version_field: str) -> None:
    """Store `document` under its `_id` unless what is stored has the same or a later version.

    The upsert runs into the unique `_id` when the stored one is newer, and when another writer
    inserts at the same time; only then is a second look needed.
    """
    version: int | datetime = document[version_field]
    older = {"_id": document["_id"], version_field: {"$lt": version}}
    for _ in range(_ATTEMPTS):
        try:
            await documents.replace_one(older, document, upsert=True)
        except DuplicateKeyError:
            stored = await documents.find_one({"_id": document["_id"]})
            if stored is not None and not stored[version_field] < version:
                return
        else:
            return
    raise StorageUnavailable("MongoDB did not store a record: too many writers at once")
