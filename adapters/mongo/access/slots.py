"""The slots of open sessions."""

from datetime import UTC, datetime

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, document_id, document_of, free_number
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import Documents, OrgCollection
from domain.access.ports import AllSlots
from domain.access.quotas import Slot
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.json_model import reader
from domain.paging import Page

COLLECTION = "slots"

_ATTEMPTS = 50
_MOST_PER_ORG = 100_000
_SLOT = StoredModel("slot", reader(Slot))


class MongoSlots(AllSlots):
    """One document per slot. `{org}/{number}` is unique, and so is (org, session)."""

    def __init__(self, database: Database) -> None:
        self._slots = OrgCollection(database[COLLECTION])

    @override
    async def claim(self, key: SessionKey, limit: int) -> bool:
        mine = self._slots.of(key.org)
        async with storage_errors("claim a slot"):
            for _ in range(_ATTEMPTS):
                claimed = await self._try_to_claim(mine, key, limit)
                if claimed is not None:
                    return claimed
        raise StorageUnavailable("MongoDB did not claim a slot: too many writers at once")

    async def _try_to_claim(self, mine: Documents, key: SessionKey, limit: int) -> bool | None:
        """True, False, or None if another writer took the same number at the same time."""
        now = datetime.now(UTC)
        again = {"$set": {"claimed_at": now, "doubted": False}}
        if await mine.update_one({"session_id": key.session_id}, again):
            return True
        numbers = {slot.number for slot in await self.taken(key.org)}
        # Numbers at or above the limit are from before it was lowered; they count as well.
        if len(numbers) >= limit:
            return False
        number = free_number(numbers, limit)
        slot = Slot(org=key.org, session_id=key.session_id, number=number, claimed_at=now)
        document = document_of(slot, "the slot", document_id(key.org, number))
        return await mine.insert_new(document) or None

    @override
    async def free(self, key: SessionKey) -> bool:
        return await self._slots.of(key.org).delete_one({"session_id": key.session_id})

    @override
    async def taken(self, org: str) -> list[Slot]:
        slots = self._slots.of(org)
        return _SLOT.all(await slots.find({}, sort=[("number", 1)], limit=_MOST_PER_ORG))

    @override
    async def every(self, limit: int, after: str | None = None) -> Page[Slot]:
        return await self._slots.every_org().page_by_id(limit, _SLOT, after)

    @override
    async def doubt(self, slot: Slot) -> None:
        await self._slots.of(slot.org).update_one(_same(slot), {"$set": {"doubted": True}})

    @override
    async def free_doubted(self, slot: Slot) -> bool:
        return await self._slots.of(slot.org).delete_one({**_same(slot), "doubted": True})


def _same(slot: Slot) -> Document:
    return {"session_id": slot.session_id, "claimed_at": slot.claimed_at}
