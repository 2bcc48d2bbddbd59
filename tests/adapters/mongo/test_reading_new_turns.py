"""How many documents MongoDB returns to who follows a session: each turn once."""

from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from adapters.mongo import MongoArchive
from adapters.mongo.client import Database
from adapters.mongo.documents import Document
from domain.ids import SessionKey
from domain.transcripts.listening import Heard
from domain.transcripts.transcript import Role
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import NOON, report, turn
from tests.servers import MongoServer


class Returned(CommandListener):
    """Counts the documents that queries return, by collection."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def started(self, event: CommandStartedEvent) -> None: ...

    def succeeded(self, event: CommandSucceededEvent) -> None:
        cursor: dict[str, Any] = event.reply.get("cursor", {})
        found = cursor.get("firstBatch", cursor.get("nextBatch", []))
        self.counts[cursor.get("ns", "").partition(".")[2]] += len(found)

    def failed(self, event: CommandFailedEvent) -> None: ...

    def turns(self) -> int:
        """How many turns were returned since the last call."""
        return self.counts.pop("turns", 0)


@pytest.fixture
def returned() -> Returned:
    return Returned()


@pytest.fixture
async def watched(
    mongo_server: MongoServer, archive: MongoArchive, database: Database, returned: Returned
) -> AsyncGenerator[MongoArchive]:
    """The same database through a client that is listened to."""
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
        mongo_server.uri, event_listeners=[returned], tz_aware=True
    )
    yield MongoArchive(client, database.name)
    client.close()


async def test_who_follows_a_session_gets_each_turn_once(
    archive: MongoArchive, watched: MongoArchive, key: SessionKey, returned: Returned
) -> None:
    for start in range(0, 300, 50):
        await archive.transcripts.add_turns(key, [turn(n) for n in range(start, start + 50)])
    followed = Transcripts(watched.transcripts).follow(key)

    assert len(await followed.turns()) == 300
    assert returned.turns() == 300
    for _ in range(10):
        await followed.turns()
    assert returned.turns() == 0

    await archive.transcripts.add_turns(key, [turn(300), turn(7, "revised"), turn(8)])
    texts = [one.turn.text for one in await followed.turns()]
    assert returned.turns() == 2
    assert (len(texts), texts[7], texts[300]) == (301, "revised", "utterance 300")


async def test_what_a_report_changes_is_read_and_nothing_else(
    archive: MongoArchive, watched: MongoArchive, key: SessionKey, returned: Returned
) -> None:
    transcripts = Transcripts(archive.transcripts)
    heard = Heard(segment="SG", role=Role.USER, text="a tale", began_at=NOON, ended_at=NOON)
    await transcripts.record_turns(key, [heard.turn(1), heard.turn(2)], NOON)
    await transcripts.record_turns(key, [turn(n, attempt=2) for n in range(50)], NOON)
    followed = Transcripts(watched.transcripts).follow(key)
    await followed.turns()
    returned.turns()

    await transcripts.record_report(key, report(foreign=True, turns=[turn(0, "a table")]), NOON)
    await transcripts.record_report(key, report(foreign=True, turns=[turn(0, "a table")]), NOON)
    turns = await followed.turns()

    assert returned.turns() == 2
    assert [one.turn.text for one in turns if one.replaced] == ["a tale"]
    assert [one.turn.text for one in turns if one.turn.attempt == 1] == ["a table", "a tale"]


async def test_the_callers_turns_are_counted_and_not_read(
    archive: MongoArchive, watched: MongoArchive, key: SessionKey, returned: Returned
) -> None:
    await archive.transcripts.add_turns(key, [turn(n) for n in range(9)])

    assert await watched.transcripts.caller_turns(key) == 5
    assert returned.turns() <= 1, "the number, which some servers return as a document"


async def test_a_deleted_transcript_is_not_followed_from_memory(
    archive: MongoArchive, key: SessionKey
) -> None:
    await archive.transcripts.add_turns(key, [turn(n) for n in range(9)])
    followed = Transcripts(archive.transcripts).follow(key)
    assert len(await followed.turns()) == 9

    await archive.transcript_lines.remove(key, "test", NOON)

    assert await followed.turns() == []


async def test_turns_of_an_older_release_are_read_at_first(
    archive: MongoArchive, key: SessionKey, database: Database
) -> None:
    await archive.transcripts.add_turns(key, [turn(0), turn(1)])
    await database["turns"].update_many({}, {"$unset": {"position": 1}})
    await database["turn_totals"].delete_many({})
    followed = Transcripts(archive.transcripts).follow(key)
    assert len(await followed.turns()) == 2

    await archive.transcripts.add_turns(key, [turn(2)])

    assert [one.turn.seq for one in await followed.turns()] == [0, 1, 2]


async def test_asking_for_new_turns_uses_the_index(
    archive: MongoArchive, key: SessionKey, database: Database
) -> None:
    for session in range(20):
        await archive.transcripts.add_turns(SessionKey(key.org, f"s{session}"), [turn(0), turn(1)])

    for wanted in ({"$gt": 0}, {"$in": [1]}):
        query = {"org": key.org, "session_id": "s7", "position": wanted}
        plan = str((await database["turns"].find(query).explain())["queryPlanner"])
        assert "org_1_session_id_1_position_1" in plan
        assert "COLLSCAN" not in plan
