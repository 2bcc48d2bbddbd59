"""The audit log, behind the port `AuditLog`."""

import re

from pymongo.errors import DuplicateKeyError

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, dump, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import page_of
from adapters.mongo.sort_keys import check_sort_key, sort_key_of_time
from adapters.mongo.tenancy import OrgCollection
from domain.access.audit import AuditAction, AuditEntry, AuditPage
from domain.json_model import reader

COLLECTION = "audit"
_PLACE = re.compile(r"[0-9]{14}\.[A-Za-z0-9_.:-]{1,256}")


class MongoAudit:
    """One document per entry; none is ever changed."""

    def __init__(self, database: Database) -> None:
        self._entries = OrgCollection(database[COLLECTION])

    async def add(self, entry: AuditEntry) -> bool:
        """Store an entry; False if there is one of this id.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        what = "an audit entry"
        document: Document = {
            "_id": f"{entry.org}/{entry.id}",
            **dump(entry, what),
            "place": sort_key_of_time(entry.at) + entry.id,
        }
        async with storage_errors(f"store {what}"):
            try:
                await self._entries.of(entry.org).insert_one(storable(document, what))
            except DuplicateKeyError:
                return False
        return True

    async def page(
        self, org: str, action: AuditAction | None, limit: int, after: str | None
    ) -> AuditPage:
        """The org's entries, the newest first; `after` is an earlier page's `next`.

        Raises:
            StorageUnavailable: MongoDB does not answer.
            InvalidInput: `after` is not from an earlier page.
        """
        wanted: Document = {"action": action.value} if action else {}
        if after is not None:
            wanted["place"] = {"$lt": check_sort_key(after, _PLACE)}
        async with storage_errors("list audit entries"):
            found = await self._entries.of(org).find(wanted, sort=[("place", -1)], limit=limit + 1)
        page = page_of(found, limit, reader(AuditEntry), "audit entry")
        return AuditPage(entries=page.items, next=page.next)
