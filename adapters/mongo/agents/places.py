"""The places that sessions hold on agent servers, and the queue for them."""

from contextlib import suppress
from datetime import UTC, datetime

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, document_id, document_of, free_number
from adapters.mongo.errors import AlreadyStored, storage_errors
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import Documents
from domain.agents.places import Place, Waiting
from domain.agents.ports import Places
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.json_model import reader

PLACES = "agent_places"
QUEUE = "agent_queue"
RELEASES = "agent_place_releases"

_ATTEMPTS = 50
MOST_RELEASES = 200
_MOST = 100_000
_PLACE = StoredModel("place", reader(Place))
_WAITING = StoredModel("queue entry", reader(Waiting))


class MongoPlaces(Places):
    """One document per place, whose number is taken once, and one per session that waits."""

    def __init__(self, database: Database) -> None:
        self._places = Documents(database[PLACES])
        self._queue = Documents(database[QUEUE])
        self._releases = Documents(database[RELEASES])

    @override
    async def claim(self, key: SessionKey, agent_name: str, limit: int) -> bool:
        async with storage_errors("claim a place"):
            for _ in range(_ATTEMPTS):
                again = {"$set": {"claimed_at": datetime.now(UTC)}}
                if await self._places.update_one(key._asdict(), again):
                    return True
                taken = {place.number for place in await self.of_name(agent_name)}
                # Numbers at or above the limit are from before it was lower; they count as well.
                if len(taken) >= limit:
                    return False
                number = free_number(taken, limit)
                if await self._places.insert_new(_document(key, agent_name, number)):
                    return True
        raise StorageUnavailable("MongoDB did not claim a place: too many writers at once")

    @override
    async def free(self, key: SessionKey) -> bool:
        # First the queue: what has left it is given no place any more.
        waited = await self.leave(key)
        return await self._places.delete_one(key._asdict()) or waited

    @override
    async def release(self, key: SessionKey) -> bool:
        held = await self._places.find_one(key._asdict())
        released = await self.free(key)
        if held and released:
            at = {"$push": {"at": {"$each": [datetime.now(UTC)], "$slice": -MOST_RELEASES}}}
            # Another session has just inserted the document: one release less does no harm.
            with suppress(AlreadyStored):
                await self._releases.update_one({"_id": held["agent_name"]}, at, upsert=True)
        return released

    @override
    async def of_name(self, agent_name: str) -> list[Place]:
        return _PLACE.all(await self._places.find({"agent_name": agent_name}, limit=_MOST))

    @override
    async def all_places(self) -> list[Place]:
        return _PLACE.all(await self._places.find(limit=_MOST))

    @override
    async def enqueue(self, waiting: Waiting) -> None:
        name = document_id(waiting.org, waiting.session_id)
        await self._queue.insert_new(document_of(waiting, "the queue entry", name))

    @override
    async def leave(self, key: SessionKey) -> bool:
        return await self._queue.delete_one(key._asdict())

    @override
    async def is_waiting(self, key: SessionKey) -> bool:
        return await self._queue.find_one(key._asdict()) is not None

    @override
    async def queue(self) -> list[Waiting]:
        return _WAITING.all(await self._queue.find(limit=_MOST))

    @override
    async def releases(self, agent_name: str) -> list[datetime]:
        found = await self._releases.find_one({"_id": agent_name})
        return found["at"] if found else []


def _document(key: SessionKey, agent_name: str, number: int) -> Document:
    now = datetime.now(UTC)
    place = Place(agent_name=agent_name, number=number, claimed_at=now, **key._asdict())
    return document_of(place, "the place", document_id(agent_name, number))
