"""Indexes are made once, from any number of processes, and lead with the org."""

import asyncio

from adapters.mongo.client import Database
from adapters.mongo.indexes import INDEXES, ensure_indexes


async def test_they_can_be_ensured_again_and_at_the_same_time(database: Database) -> None:
    await asyncio.gather(*(ensure_indexes(database) for _ in range(4)))
    await ensure_indexes(database)

    for collection, wanted in INDEXES.items():
        found = await database[collection].index_information()
        assert {index.document["name"] for index in wanted} | {"_id_"} == set(found)


async def test_an_orgs_data_is_found_by_its_org_first(database: Database) -> None:
    await ensure_indexes(database)

    for collection in ("sessions", "turns", "reports"):
        found = await database[collection].index_information()
        of_the_reaper = {"_id_", "state_1__id_1"}
        leading = {index["key"][0][0] for name, index in found.items() if name not in of_the_reaper}
        assert leading == {"org"}


async def test_silent_agent_servers_are_forgotten_and_key_hashes_are_unique(
    database: Database,
) -> None:
    await ensure_indexes(database)

    servers = await database["agent_servers"].index_information()
    keys = await database["api_keys"].index_information()
    assert servers["last_heartbeat_1"]["expireAfterSeconds"] == 24 * 3600
    assert keys["key_hash_1"]["unique"] is True
