"""Writes that never let older knowledge replace newer."""

from pymongo.errors import DuplicateKeyError

from adapters.mongo.documents import Document
from adapters.mongo.tenancy import OrgDocuments
from domain.errors import StorageUnavailable

_ATTEMPTS = 5


async def replace_if_newer(documents: OrgDocuments, document: Document, version_field: str) -> None:
    """Store `document` under its `_id` unless what is stored has the same or a later version.

    The upsert runs into the unique `_id` when the stored one is newer, and when another writer
    inserts at the same time; only then is a second look needed.
    """
    version: int = document[version_field]
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
