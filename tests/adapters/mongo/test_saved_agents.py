"""Saved agents in MongoDB: one current version, the earlier ones kept, each org for itself."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.mongo import MongoArchive
from adapters.mongo.agents.saved_agents import MongoAgents
from adapters.mongo.client import Database
from adapters.temporal.encryption import EncryptionCodec
from domain.agents.config import AgentConfig
from domain.agents.saved_agent import AgentKey, SavedAgent, new_agent_id
from domain.errors import StorageUnavailable, Unreadable

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = {"new": b"n" * 32, "old": b"o" * 32}


@pytest.fixture
def agents(archive: MongoArchive) -> MongoAgents:
    return archive.saved_agents(EncryptionCodec(KEYS))


def agent(number: int = 0, version: int = 1, org: str = "acme", **config: Any) -> SavedAgent:
    at = NOON + timedelta(seconds=number)
    return SavedAgent(
        org=org,
        agent_id=f"{number:024x}",
        version=version,
        config=AgentConfig.model_validate({"agent_name": f"agent {number}", **config}),
        created_at=at,
        created_by="u-1",
        updated_at=at,
        updated_by="u-1",
    )


async def test_an_agent_comes_back_whole(agents: MongoAgents) -> None:
    stored = agent(prompt="nul \0 and $ and ü", lyzr_tools=[{"$where": "a.b", "n": 2**70}])
    await agents.insert(stored)

    found = await agents.get(stored.key)

    assert found == stored
    assert found is not None
    assert found.config.model_fields_set == stored.config.model_fields_set
    assert await agents.get(AgentKey("other", stored.agent_id)) is None
    assert await agents.get(AgentKey("acme", "no-such-agent")) is None


async def test_a_lost_answer_to_an_insert_is_no_error(agents: MongoAgents) -> None:
    await agents.insert(agent())
    with pytest.raises(StorageUnavailable, match="another agent"):
        await agents.insert(agent(prompt="another"))


async def test_the_configuration_is_encrypted_and_old_keys_still_open_it(
    agents: MongoAgents, archive: MongoArchive, database: Database
) -> None:
    before = archive.saved_agents(EncryptionCodec({"old": KEYS["old"]}))
    stored = agent(prompt="canary-prompt", api_key="canary-key")
    await before.insert(stored)

    [document] = await database["agents"].find({}).to_list(None)
    assert document["name"] == "agent 0"
    assert b"canary" not in bytes(document["config"])
    assert "canary" not in str({name: document[name] for name in document if name != "config"})
    assert await agents.get(stored.key) == stored
    with pytest.raises(Unreadable, match="key ring") as refused:
        await archive.saved_agents(EncryptionCodec({"x": b"x" * 32})).get(stored.key)
    assert refused.value.field == "EVERLINE_ENCRYPTION_KEYS"


async def test_each_save_keeps_the_version_before(agents: MongoAgents) -> None:
    for version in (1, 2, 3):
        saved = agent(version=version, prompt=f"prompt {version}")
        if version == 1:
            await agents.insert(saved)
        else:
            assert await agents.replace(saved, version - 1)
    key = agent().key

    current = await agents.get(key)
    assert current is not None
    assert (current.version, current.config.prompt) == (3, "prompt 3")
    assert [one.version for one in await agents.list_versions(key, 10, None)] == [3, 2, 1]
    assert [one.version for one in await agents.list_versions(key, 1, None)] == [3]
    assert [one.version for one in await agents.list_versions(key, 1, 3)] == [2]
    for version in (1, 2, 3):
        found = await agents.get_version(key, version)
        assert found is not None
        assert found.config.prompt == f"prompt {version}"
    assert await agents.get_version(key, 4) is None
    assert await agents.get_version(AgentKey("other", key.agent_id), 1) is None
    assert await agents.list_versions(AgentKey("other", key.agent_id), 10, None) == []


async def test_of_saves_at_the_same_time_one_wins_and_none_is_lost(agents: MongoAgents) -> None:
    await agents.insert(agent())

    async def save(writer: int) -> int:
        tries = 0
        while True:
            tries += 1
            current = await agents.get(agent().key)
            assert current is not None
            following = agent(version=current.version + 1, prompt=f"writer {writer}")
            if await agents.replace(following, current.version):
                return tries

    tries = await asyncio.gather(*(save(writer) for writer in range(6)))

    versions = await agents.list_versions(agent().key, 100, None)
    assert [one.version for one in versions] == [7, 6, 5, 4, 3, 2, 1]
    assert {one.config.prompt for one in versions[:-1]} == {f"writer {n}" for n in range(6)}
    assert sum(tries) >= 6


async def test_a_save_that_was_interrupted_leaves_no_trace(
    agents: MongoAgents, database: Database
) -> None:
    """As after a crash between keeping the old version and writing the new one."""
    await agents.insert(agent(prompt="one"))
    [current] = await database["agents"].find({}).to_list(None)
    await database["agent_versions"].insert_one({**current, "_id": f"{current['_id']}/1"})

    assert [one.version for one in await agents.list_versions(agent().key, 10, None)] == [1]
    assert await agents.replace(agent(version=2, prompt="two"), 1)
    assert [one.version for one in await agents.list_versions(agent().key, 10, None)] == [2, 1]


async def test_a_deleted_agent_is_gone_with_its_versions(
    agents: MongoAgents, database: Database
) -> None:
    await agents.insert(agent())
    assert await agents.replace(agent(version=2), 1)
    await agents.insert(agent(org="other"))

    assert not await agents.delete(agent().key, 1, NOON), "not of this version any more"
    assert await agents.get(agent().key) is not None
    assert await agents.delete(agent().key, 2, NOON)

    assert await agents.get(agent().key) is None
    assert not await agents.replace(agent(version=3), 2)
    assert not await agents.delete(agent().key, None, NOON)
    assert await database["agents"].count_documents({"org": "acme"}) == 0
    assert await database["agent_versions"].count_documents({"org": "acme"}) == 0
    assert await agents.get(agent(org="other").key) is not None


async def test_an_interrupted_deletion_is_seen_by_nobody_and_goes_on(
    agents: MongoAgents, database: Database
) -> None:
    await agents.insert(agent())
    await database["agents"].update_one({"org": "acme"}, {"$set": {"deleted": True}})

    assert await agents.get(agent().key) is None
    assert await agents.list_agents("acme", 10, None) == []
    assert not await agents.replace(agent(version=2), 1)
    assert await agents.delete(agent().key, None, NOON)
    assert await database["agents"].count_documents({}) == 0


async def test_lists_go_page_by_page_from_the_newest(agents: MongoAgents) -> None:
    for number in range(5):
        await agents.insert(agent(number))
    await agents.insert(agent(9, org="other"))

    pages: list[list[str | None]] = []
    before = None
    while page := await agents.list_agents("acme", 2, before):
        pages.append([one.config.agent_name for one in page])
        before = page[-1].agent_id

    assert pages == [["agent 4", "agent 3"], ["agent 2", "agent 1"], ["agent 0"]]


async def test_lists_are_found_by_an_index_that_leads_with_the_org(
    agents: MongoAgents, database: Database
) -> None:
    for number in range(3):
        await agents.insert(agent(number))
    wanted = {"deleted": False, "agent_id": {"$lt": "f"}, "org": "acme"}
    plan = await database["agents"].find(wanted).sort([("agent_id", -1)]).limit(2).explain()

    assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])
    assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])


async def test_an_agent_of_a_newer_everline_is_read_without_what_is_new(
    agents: MongoAgents, database: Database
) -> None:
    await agents.insert(agent())
    newer = EncryptionCodec(KEYS).seal(b'{"agent_name": "x", "telepathy": {"to": "secret"}}')
    await database["agents"].update_one({}, {"$set": {"config": newer}})

    read = await agents.get(agent().key)

    assert read is not None
    assert read.config == AgentConfig(agent_name="x")


async def test_an_agent_that_fits_no_version_says_so(
    agents: MongoAgents, database: Database
) -> None:
    await agents.insert(agent())
    spoilt = EncryptionCodec(KEYS).seal(b'{"agent_name": "x", "prompt": ["secret"]}')
    await database["agents"].update_one({}, {"$set": {"config": spoilt}})

    with pytest.raises(Unreadable, match=r"another version of Everline \(prompt\)"):
        await agents.get(agent().key)


def test_ids_sort_by_the_time_of_creation() -> None:
    ids = [new_agent_id(NOON + timedelta(milliseconds=n)) for n in range(0, 5_000, 7)]
    assert ids == sorted(ids)
    assert len({new_agent_id(NOON) for _ in range(100)}) == 100
    assert all(len(one) == 24 for one in ids)
