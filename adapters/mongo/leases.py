"""Leases in MongoDB, behind the port `Lease`: one of several processes has each.

No clocks are compared. The holder changes its document with every call; who waits takes it over
when the document has not changed for `LEASE_SECONDS` of its own time.
"""

from collections.abc import Callable
from typing import Any

from pymongo.errors import DuplicateKeyError

from adapters.mongo.client import Database
from adapters.mongo.documents import Document
from adapters.mongo.errors import storage_errors

COLLECTION = "leases"
LEASE_SECONDS = 6.0
"""How long a holder may be silent; to be held every second or so."""


class MongoLease:
    """One process's claim on one lease."""

    def __init__(
        self,
        database: Database,
        name: str,
        holder: str,
        clock: Callable[[], float],
    ) -> None:
        self._leases = database[COLLECTION]
        self._name = name
        self._holder = holder
        self._clock = clock
        self._seen: Document | None = None
        self._seen_at = 0.0

    async def hold(self) -> bool:
        """Take or keep the lease; False while another process has it.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("hold a lease"):
            stored = await self._leases.find_one({"_id": self._name})
            if stored is None:
                return await self._insert()
            if stored["holder"] != self._holder and not self._is_abandoned(stored):
                return False
            return await self._replace(stored)

    def _is_abandoned(self, stored: Document) -> bool:
        if stored != self._seen:
            self._seen, self._seen_at = stored, self._clock()
        return self._clock() - self._seen_at >= LEASE_SECONDS

    async def _insert(self) -> bool:
        try:
            await self._leases.insert_one(self._document(0))
        except DuplicateKeyError:
            return False
        return True

    async def _replace(self, stored: Document) -> bool:
        replaced = await self._leases.replace_one(stored, self._document(stored["count"] + 1))
        return replaced.matched_count == 1

    def _document(self, count: int) -> dict[str, Any]:
        return {"_id": self._name, "holder": self._holder, "count": count}
