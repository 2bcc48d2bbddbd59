"""API keys, stored as hashes only, so a stolen database gives no access."""

import hmac
from datetime import UTC, datetime, timedelta

import structlog
from typing_extensions import override

from adapters.auth.local_keys import hash_of, new_key
from adapters.mongo.client import Database
from adapters.mongo.documents import document_id, document_of
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import OrgCollection
from domain.access.api_keys import ApiKeyRecord, CreatedKey, NewKeyRequest
from domain.access.ports import ApiKeys, ApiKeyStore
from domain.access.principal import Principal
from domain.errors import StorageUnavailable
from domain.json_model import reader

COLLECTION = "api_keys"
LAST_USED_STEP = timedelta(minutes=1)
"""Precision of the last use; a write at every request would cost too much."""
MOST_LISTED = 1_000
"""Keys in one list; an org has a few."""
_RECORD = StoredModel("API key", reader(ApiKeyRecord), cure="make another key")

log = structlog.get_logger()


class MongoApiKeys(ApiKeys, ApiKeyStore):
    """One document per key, found by the key's SHA-256."""

    def __init__(self, database: Database) -> None:
        self._keys = OrgCollection(database[COLLECTION])

    @override
    async def create(self, org: str, request: NewKeyRequest) -> CreatedKey:
        made = new_key()
        record = ApiKeyRecord(
            prefix=made.prefix, org=org, created_at=datetime.now(UTC), **request.model_dump()
        )
        document = document_of(
            record, "the API key", document_id(org, made.prefix), key_hash=hash_of(made.key)
        )
        await self._keys.of(org).insert_one(document)
        return CreatedKey(key=made.key, record=record)

    @override
    async def list_keys(self, org: str) -> list[ApiKeyRecord]:
        keys = self._keys.of(org)
        return _RECORD.all(await keys.find({}, sort=[("created_at", -1)], limit=MOST_LISTED))

    @override
    async def revoke(self, org: str, prefix: str) -> bool:
        key_id = document_id(org, prefix)
        change = {"$set": {"revoked_at": datetime.now(UTC)}}
        mine = self._keys.of(org)
        if await mine.update_one({"_id": key_id, "revoked_at": None}, change):
            return True
        return await mine.find_one({"_id": key_id}) is not None

    @override
    async def resolve(self, key: str) -> Principal | None:
        digest = hash_of(key)
        found = await self._keys.every_org().find_one({"key_hash": digest})
        # The look-up compares hashes, not keys; still, do not depend on the server's timing.
        if found is None or not hmac.compare_digest(found["key_hash"], digest):
            return None
        record = _RECORD.one(found)
        now = datetime.now(UTC)
        if not record.works_at(now):
            return None
        await self._note_use(record, now)
        return Principal(
            org=record.org,
            user_id=record.user_id,
            is_admin=record.is_admin,
            scopes=frozenset(record.scopes),
        )

    async def _note_use(self, record: ApiKeyRecord, now: datetime) -> None:
        if record.last_used_at is not None and now - record.last_used_at < LAST_USED_STEP:
            return
        used = {"$set": {"last_used_at": now}}
        try:
            key_id = document_id(record.org, record.prefix)
            await self._keys.of(record.org).update_one({"_id": key_id}, used)
        except StorageUnavailable as error:  # a valid key works even while nothing can be written
            log.warning("API key use not recorded", prefix=record.prefix, error=error.message)
