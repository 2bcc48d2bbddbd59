"""Leases: one of several processes holds each.

No clocks are compared. The holder changes its document with every call; a waiting process takes the
lease over once the document has not changed for some seconds of its own clock, or is gone.
"""

import os
import socket
from collections.abc import Callable
from uuid import uuid4

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document
from adapters.mongo.errors import storage_errors
from adapters.mongo.tenancy import Documents
from domain.agents.ports import Lease

COLLECTION = "leases"
LEASE_SECONDS = 6.0
"""How long a holder may be silent; it should renew about every second."""


class MongoLease(Lease):
    """One process's claim on one lease."""

    def __init__(
        self,
        database: Database,
        name: str,
        holder: str | None,
        clock: Callable[[], float],
        seconds: float = LEASE_SECONDS,
    ) -> None:
        self._leases = Documents(database[COLLECTION])
        self._name = name
        self._holder = holder or f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"
        self._clock = clock
        self._seconds = seconds
        self._seen: Document | None = None
        self._seen_at = 0.0

    @override
    async def hold(self) -> bool:
        async with storage_errors("hold a lease"):
            stored = await self._leases.find_one({"_id": self._name})
            if stored is None:
                return await self._leases.insert_new(self._document(0))
            if stored["holder"] != self._holder and not self._is_abandoned(stored):
                return False
            return await self._leases.replace_one(stored, self._document(stored["count"] + 1))

    @override
    async def release(self) -> None:
        await self._leases.delete_one({"_id": self._name, "holder": self._holder})

    def _is_abandoned(self, stored: Document) -> bool:
        if stored != self._seen:
            self._seen, self._seen_at = stored, self._clock()
        return self._clock() - self._seen_at >= self._seconds

    def _document(self, count: int) -> Document:
        return {"_id": self._name, "holder": self._holder, "count": count}
