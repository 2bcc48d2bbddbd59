"""API keys: the bootstrap key needs no database, the others are hashes in MongoDB."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from adapters.auth.local_keys import LocalKeys, hash_of, new_key, prefix_of
from adapters.mongo import MongoArchive
from adapters.mongo.client import Database, connect
from domain.access.api_keys import NewKeyRequest, Scope
from domain.access.principal import Principal
from domain.errors import StorageUnavailable
from tests.servers import free_port

BOOTSTRAP = "evl_the-bootstrap-key-of-a-stack"
ADMIN = Principal(org="acme", user_id="bootstrap", is_admin=True)


def local(archive: MongoArchive | None) -> LocalKeys:
    return LocalKeys(hash_of(BOOTSTRAP), "acme", archive.api_keys if archive else None)


def test_a_key_names_itself_by_its_prefix() -> None:
    made = new_key()
    assert re.fullmatch(r"evk_[A-Za-z0-9]{8}_[A-Za-z0-9]{43}", made.key)
    assert prefix_of(made.key) == made.prefix
    assert new_key().key != made.key
    for other in ("", "evk_", "evk_a_b", BOOTSTRAP, made.key + "\n", "evk_\0_" + "x" * 40):
        assert prefix_of(other) is None


async def test_the_bootstrap_key_is_the_admin_of_its_org_without_any_database() -> None:
    keys = local(None)
    assert await keys.resolve(BOOTSTRAP) == ADMIN
    for other in ("", BOOTSTRAP[:-1], BOOTSTRAP + "x", hash_of(BOOTSTRAP), new_key().key, "\udcff"):
        assert await keys.resolve(other) is None


async def test_without_a_bootstrap_hash_nothing_is_the_bootstrap_key() -> None:
    assert await LocalKeys(None, "acme", None).resolve(BOOTSTRAP) is None


async def test_a_created_key_speaks_for_its_org_and_is_not_stored(
    archive: MongoArchive, database: Database
) -> None:
    made = await archive.api_keys.create("other", NewKeyRequest(user_id="anna", name="laptop"))

    principal = await local(archive).resolve(made.key)

    assert principal == Principal(
        org="other", user_id="anna", is_admin=False, scopes=frozenset({Scope.READ, Scope.WRITE})
    )
    [stored] = await database["api_keys"].find().to_list(None)
    secret = made.key.rpartition("_")[2]
    assert secret not in json.dumps(stored, default=str)
    assert stored["key_hash"] == hash_of(made.key)


async def test_keys_are_listed_by_org_the_newest_first(archive: MongoArchive) -> None:
    for name in ("first", "second"):
        await archive.api_keys.create("acme", NewKeyRequest(name=name))
    await archive.api_keys.create("other", NewKeyRequest(name="theirs"))

    assert [key.name for key in await archive.api_keys.list_keys("acme")] == ["second", "first"]
    assert [key.name for key in await archive.api_keys.list_keys("other")] == ["theirs"]
    assert await archive.api_keys.list_keys("third") == []


async def test_a_revoked_key_opens_nothing_and_only_its_org_can_revoke_it(
    archive: MongoArchive,
) -> None:
    made = await archive.api_keys.create("acme", NewKeyRequest())

    assert await archive.api_keys.revoke("other", made.record.prefix) is False
    assert await archive.api_keys.resolve(made.key) is not None
    assert await archive.api_keys.revoke("acme", made.record.prefix) is True
    assert await archive.api_keys.resolve(made.key) is None

    [first] = await archive.api_keys.list_keys("acme")
    assert await archive.api_keys.revoke("acme", made.record.prefix) is True
    assert await archive.api_keys.list_keys("acme") == [first]
    assert await archive.api_keys.revoke("acme", "nothing") is False


async def test_an_expired_key_opens_nothing(archive: MongoArchive) -> None:
    now = datetime.now(UTC)
    past = await archive.api_keys.create(
        "acme", NewKeyRequest(expires_at=now - timedelta(seconds=1))
    )
    future = await archive.api_keys.create(
        "acme", NewKeyRequest(expires_at=now + timedelta(hours=1))
    )

    assert await archive.api_keys.resolve(past.key) is None
    assert await archive.api_keys.resolve(future.key) is not None


async def test_the_last_use_is_noted_once_a_minute(
    archive: MongoArchive, database: Database
) -> None:
    made = await archive.api_keys.create("acme", NewKeyRequest())
    assert made.record.last_used_at is None

    await archive.api_keys.resolve(made.key)
    [used] = await archive.api_keys.list_keys("acme")
    assert used.last_used_at is not None
    await archive.api_keys.resolve(made.key)
    assert await archive.api_keys.list_keys("acme") == [used]

    earlier = used.last_used_at - timedelta(minutes=2)
    await database["api_keys"].update_one({}, {"$set": {"last_used_at": earlier}})
    await archive.api_keys.resolve(made.key)
    [again] = await archive.api_keys.list_keys("acme")
    assert again.last_used_at is not None
    assert again.last_used_at >= used.last_used_at


async def test_without_mongodb_stored_keys_are_unavailable_and_the_bootstrap_key_works() -> None:
    client = connect(f"mongodb://127.0.0.1:{free_port()}")
    keys = local(MongoArchive(client, "everline"))

    assert await keys.resolve(BOOTSTRAP) == ADMIN
    assert await keys.resolve("nonsense") is None
    with pytest.raises(StorageUnavailable):
        await keys.resolve(new_key().key)
    client.close()
