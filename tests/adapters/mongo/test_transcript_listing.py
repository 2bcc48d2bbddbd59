"""The lists that tenants read: through an index that leads with their org, whatever the filter."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from itertools import chain, combinations
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from adapters.mongo.access.api_keys import MongoApiKeys
from adapters.mongo.access.slots import MongoSlots
from adapters.mongo.client import Database
from adapters.mongo.documents import Document
from adapters.mongo.indexes import ensure_indexes
from adapters.mongo.sessions.records import MongoSessions
from adapters.mongo.tenancy import Change, OrgCollection
from adapters.mongo.webhooks.webhooks import MongoDeliveries, MongoEndpoints
from adapters.temporal.encryption import EncryptionCodec
from domain.ids import SessionKey
from domain.sessions.listing import SessionFilter
from domain.sessions.session import Outcome
from domain.webhooks.deliveries import DeliveryFilter
from tests.servers import MongoServer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONDITIONS: dict[str, Any] = {
    "outcome": Outcome.COMPLETED,
    "agent": "ag-1",
    "started_after": NOON,
    "started_before": NOON,
}


class Finds(CommandListener):
    """The `find` commands that were really sent."""

    def __init__(self) -> None:
        self.sent: list[Document] = []
        self.aggregated: list[Document] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            self.sent.append(dict(event.command))
        if event.command_name == "aggregate":
            self.aggregated.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


@pytest.fixture
def finds() -> Finds:
    return Finds()


@pytest.fixture
async def watched(
    mongo_server: MongoServer, database: Database, finds: Finds
) -> AsyncGenerator[Database]:
    await ensure_indexes(database)
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
        mongo_server.uri, event_listeners=[finds], tz_aware=True
    )
    yield client[database.name]
    client.close()


async def leading_fields(database: Database, finds: Finds) -> list[str | None]:
    """The first field of the index that each sent command is answered through."""
    found: list[str | None] = []
    for sent in list(finds.sent):
        command = {name: sent[name] for name in ("find", "filter", "sort") if name in sent}
        plan = await database.command("explain", command)
        found.append(_index_of(plan["queryPlanner"]["winningPlan"]))
    return found


async def leading_field_of_match(database: Database, sent: Document) -> str | None:
    """The first field of the index that an aggregation's first stage is answered through."""
    command = {"find": sent["aggregate"], "filter": sent["pipeline"][0]["$match"]}
    plan = await database.command("explain", command)
    return _index_of(plan["queryPlanner"]["winningPlan"])


def _index_of(stage: Document) -> str | None:
    while stage:
        if stage["stage"] == "IXSCAN":
            return next(iter(stage["keyPattern"]))
        stage = stage.get("inputStage", {})
    return None


async def test_closed_sessions_by_any_filter(watched: Database, finds: Finds) -> None:
    names = list(CONDITIONS)
    subsets = chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))
    sessions = MongoSessions(watched)
    for chosen in subsets:
        wanted = SessionFilter(**{name: CONDITIONS[name] for name in chosen})
        for after in (None, "01772366400000.s-1"):
            await sessions.closed_page("acme", wanted, 50, after)
    assert len(finds.sent) == 32
    assert set(await leading_fields(watched, finds)) == {"org"}


async def test_closed_sessions_by_metadata_and_any_filter(watched: Database, finds: Finds) -> None:
    subsets = chain.from_iterable(combinations(CONDITIONS, size) for size in range(5))
    sessions = MongoSessions(watched)
    count = 0
    for chosen in subsets:
        for metadata in ({"order": "42"}, {"order": "42", "shop": "x"}):
            fields = {name: CONDITIONS[name] for name in chosen}
            wanted = SessionFilter(**fields, metadata=metadata)
            for after in (None, "01772366400000.s-1"):
                await sessions.closed_page("acme", wanted, 50, after)
                count += 1
    assert len(finds.aggregated) == count == 64
    for sent in finds.aggregated:
        assert await leading_field_of_match(watched, sent) == "org"


async def test_webhook_deliveries_by_any_filter(watched: Database, finds: Finds) -> None:
    chosen = {"endpoint_id": "we_1", "status": "pending", "event": "session.ended"}
    subsets = chain.from_iterable(combinations(chosen, size) for size in range(len(chosen) + 1))
    deliveries = MongoDeliveries(watched)
    for names in subsets:
        wanted = DeliveryFilter.model_validate({name: chosen[name] for name in names})
        for after in (None, "01772366400000.dlv_1"):
            await deliveries.page("acme", wanted, 50, after)
    await MongoEndpoints(watched, EncryptionCodec({"k1": bytes(32)})).list_endpoints("acme")
    assert len(finds.sent) == 17
    assert set(await leading_fields(watched, finds)) == {"org"}


async def test_keys_and_slots(watched: Database, finds: Finds) -> None:
    await MongoApiKeys(watched).list_keys("acme")
    await MongoSlots(watched).taken("acme")
    assert len(finds.sent) == 2
    assert set(await leading_fields(watched, finds)) == {"org"}


async def test_an_orgs_collection_cannot_be_asked_without_an_org(database: Database) -> None:
    collection = OrgCollection(database["things"])
    assert not [name for name in ("find", "find_one", "aggregate") if hasattr(collection, name)]

    await collection.of("acme").insert_one({"_id": 1})
    await collection.of("globex").insert_one({"_id": 2})
    for wanted in ({}, {"_id": 1}, {"org": "acme"}):
        found = await collection.of("acme").find(wanted, sort=[("_id", 1)], limit=10)
        assert [one["_id"] for one in found] == [1]
    assert await collection.of("globex").find_one({"_id": 1}) is None
    assert not await collection.of("globex").update_one({"_id": 1}, {"$set": {"a": 1}})
    assert not await collection.of("globex").delete_one({"_id": 1})
    with pytest.raises(AssertionError):
        await collection.of("globex").find_one({"org": "acme"})
    with pytest.raises(AssertionError):
        await collection.of("globex").insert_one({"_id": 3, "org": "acme"})


async def test_a_sessions_documents_are_no_other_sessions(database: Database) -> None:
    collection = OrgCollection(database["things"])
    mine, others = SessionKey("acme", "one"), [SessionKey("acme", "two"), SessionKey("b", "one")]
    await collection.of_session(mine).insert_one({"_id": 1, "kind": "a"})
    change = Change({"_id": 2}, {"$set": {"kind": "a"}}, upsert=True)
    assert await collection.of_session(mine).apply([change]) == {2}

    found = await collection.of_session(mine).find()
    assert {one["_id"]: (one["org"], one["session_id"]) for one in found} == {
        1: ("acme", "one"),
        2: ("acme", "one"),
    }
    for other in others:
        theirs = collection.of_session(other)
        assert await theirs.find() == []
        assert await theirs.distinct("kind") == []
        assert await theirs.find_one({"_id": 1}) is None
        assert await theirs.apply([Change({"_id": 1}, {"$set": {"kind": "b"}})]) == set()
        assert await theirs.delete_many({}) == 0
        with pytest.raises(AssertionError):
            await theirs.find_one({"session_id": "three"})
    assert await collection.of_session(mine).distinct("kind") == ["a"]
    assert await collection.of("acme").delete_many({}) == 2
