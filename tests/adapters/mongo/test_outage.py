"""MongoDB dies, hangs and comes back: every operation says so in time, and works again after."""

import asyncio

import pytest

from adapters.mongo import MongoArchive
from adapters.mongo.client import MongoMisconfigured, connect
from domain.agents.servers import Heartbeat
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from tests.adapters.mongo.examples import NOON, report, status, turn
from tests.servers import free_port, start_mongo
from tests.waiting import eventually

ANYBODY = SessionKey("acme", "anybody")
HEARTBEAT = Heartbeat(server_id="a", agent_name="n", max_jobs=1)


async def answers(archive: MongoArchive) -> bool:
    """Whether MongoDB is found again; how soon depends on the machine."""
    try:
        await archive.sessions.get(ANYBODY)
    except StorageUnavailable:
        return False
    return True


async def test_killed_in_the_middle_and_restarted_it_works_again_and_nothing_is_lost(
    key: SessionKey,
) -> None:
    async with start_mongo() as server:
        client = connect(server.uri)
        archive = MongoArchive(client, "everline")
        await archive.ensure_indexes()
        await archive.transcripts.add_turns(key, [turn(0), turn(1)])
        await archive.sessions.record(status(1))

        server.process.kill()
        failures = await asyncio.gather(
            archive.transcripts.add_turns(key, [turn(2)]),
            archive.transcripts.turns(key),
            archive.transcripts.add_report(key, report()),
            archive.sessions.record(status(2)),
            archive.summaries.get(key),
            archive.agent_servers.record(HEARTBEAT, NOON),
            archive.api_keys.resolve("evk_abc_0123456789abcdef"),
            archive.ensure_indexes(),
            archive.sessions.get(key),
            return_exceptions=True,
        )
        assert [type(failure) for failure in failures] == [StorageUnavailable] * 9
        assert all(str(failure).startswith("MongoDB did not ") for failure in failures)

        await server.process.start()
        await eventually(lambda: answers(archive))
        assert await archive.transcripts.turns(key) == [turn(0), turn(1)]
        assert await archive.transcripts.add_turns(key, [turn(1), turn(2)]) == 1
        await archive.sessions.record(status(2))
        found = await archive.sessions.get(key)
        assert found is not None
        assert found.version == 2
        client.close()


async def test_hanging_it_is_unavailable_in_time_and_a_repetition_stores_once(
    key: SessionKey,
) -> None:
    async with start_mongo() as server:
        client = connect(server.uri)
        archive = MongoArchive(client, "everline")
        await archive.sessions.get(ANYBODY)

        server.process.pause()
        with pytest.raises(StorageUnavailable):
            await archive.transcripts.add_turns(key, [turn(0)])
        server.process.resume()

        await eventually(lambda: answers(archive))
        await archive.transcripts.add_turns(key, [turn(0)])
        assert await archive.transcripts.turns(key) == [turn(0)]
        client.close()


async def test_nobody_there_is_unavailable_without_naming_the_password() -> None:
    client = connect(f"mongodb://127.0.0.1:{free_port()}")
    archive = MongoArchive(client, "everline")
    with pytest.raises(StorageUnavailable, match="ServerSelectionTimeoutError") as away:
        await archive.sessions.get(ANYBODY)
    assert away.value.cure == "check MONGODB_URI, and that MongoDB runs"
    client.close()


@pytest.mark.parametrize(
    "uri", ["http://localhost", "mongodb://", "mongodb://user:p@ss:word@host", "nonsense"]
)
async def test_a_malformed_uri_is_named_and_not_quoted(uri: str) -> None:
    with pytest.raises(MongoMisconfigured) as refused:
        connect(uri)
    assert refused.value.field == "MONGODB_URI"
    assert "p@ss" not in str(refused.value)
