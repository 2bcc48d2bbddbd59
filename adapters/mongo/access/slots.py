"""The slots of open sessions, behind the ports `Slots` and `AllSlots`."""

import random
from datetime import UTC, datetime

from pymongo.errors import DuplicateKeyError

from adapters.mongo.client import Database
from adapters.mongo.documents import Document
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import part_of, read_all
from adapters.mongo.tenancy import OrgCollection, OrgDocuments
from domain.access.quotas import Slot
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.json_model import reader
from domain.paging import Page

COLLECTION = "slots"

_ATTEMPTS = 50
_MOST_PER_ORG = 100_000


class MongoSlots:
    """One document per slot. `{org}/{number}` is unique, and so is (org, session)."""

    def __init__(self, database: Database) -> None:
        self._slots = OrgCollection(database[COLLECTION])

    async def claim(self, key: SessionKey, limit: int) -> bool:
        """Take a slot below `limit`, or keep the one that the session has; False if none is left.

        Raises:
            StorageUnavailable: MongoDB does not answer; a slot may be taken, the same call again
                finds it.
        """
        mine = self._slots.of(key.org)
        async with storage_errors("claim a slot"):
            for _ in range(_ATTEMPTS):
                claimed = await self._try_to_claim(mine, key, limit)
                if claimed is not None:
                    return claimed
        raise StorageUnavailable("MongoDB did not claim a slot: too many writers at once")

    async def _try_to_claim(self, mine: OrgDocuments, key: SessionKey, limit: int) -> bool | None:
        """True, False, or None if somebody took the same number at the same time."""
        now = datetime.now(UTC)
        again = {"$set": {"claimed_at": now, "doubted": False}}
        if await mine.update_one({"session_id": key.session_id}, again):
            return True
        numbers = {slot.number for slot in await self._taken(mine)}
        # Numbers at or above the limit are from before it was lowered; they count as well.
        if len(numbers) >= limit:
            return False
        number = random.choice([number for number in range(limit) if number not in numbers])
        slot = Slot(org=key.org, session_id=key.session_id, number=number, claimed_at=now)
        try:
            await mine.insert_one({"_id": f"{key.org}/{number}", **slot.model_dump()})
        except DuplicateKeyError:
            return None
        return True

    async def free(self, key: SessionKey) -> bool:
        """Free the session's slot; False if it had none.

        Raises:
            StorageUnavailable: MongoDB did not take it; the slot may still be taken.
        """
        async with storage_errors("free a slot"):
            return await self._slots.of(key.org).delete_one({"session_id": key.session_id})

    async def taken(self, org: str) -> list[Slot]:
        """The org's taken slots.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read slots"):
            return await self._taken(self._slots.of(org))

    async def _taken(self, mine: OrgDocuments) -> list[Slot]:
        found = await mine.find({}, sort=[("number", 1)], limit=_MOST_PER_ORG)
        return read_all(found, reader(Slot), "slot")

    async def every(self, limit: int, after: str | None = None) -> Page[Slot]:
        """Taken slots of all orgs, by their ids; for the reaper alone.

        With `after`, those behind that one.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read slots"):
            found = await self._slots.every_org_behind(after, limit)
        return part_of(found, limit, Slot.model_validate, "slot")

    async def doubt(self, slot: Slot) -> None:
        """Mark a slot, unless it was claimed again since it was read.

        Raises:
            StorageUnavailable: MongoDB did not take it.
        """
        async with storage_errors("mark a slot"):
            await self._slots.of(slot.org).update_one(_same(slot), {"$set": {"doubted": True}})

    async def free_doubted(self, slot: Slot) -> bool:
        """Free a slot that is still marked; False if it was claimed again since it was read.

        Raises:
            StorageUnavailable: MongoDB did not take it.
        """
        async with storage_errors("free a slot"):
            return await self._slots.of(slot.org).delete_one({**_same(slot), "doubted": True})


def _same(slot: Slot) -> Document:
    return {"session_id": slot.session_id, "claimed_at": slot.claimed_at}
