"""API keys behind `ApiKeys` and `ApiKeyStore`: hashes alone, so a stolen database opens nothing."""

import hmac
from datetime import UTC, datetime, timedelta

import structlog

from adapters.auth.local_keys import hash_of, new_key
from adapters.mongo.client import Database
from adapters.mongo.documents import Document, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import read_all, read_one
from adapters.mongo.tenancy import OrgCollection
from domain.access.api_keys import ApiKeyRecord, CreatedKey, NewKeyRequest
from domain.access.principal import Principal
from domain.errors import StorageUnavailable
from domain.json_model import reader

COLLECTION = "api_keys"
LAST_USED_STEP = timedelta(minutes=1)
"""How precisely the last use is known; a write at every request would cost more than the rest."""
MOST_LISTED = 1_000
"""Keys in one list; an org has a few."""

log = structlog.get_logger()


class MongoApiKeys:
    """One document per key, found by the key's SHA-256."""

    def __init__(self, database: Database) -> None:
        self._keys = OrgCollection(database[COLLECTION])

    async def create(self, org: str, request: NewKeyRequest) -> CreatedKey:
        """Make a key for an org; the answer is the only place where it can be read.

        Raises:
            StorageUnavailable: MongoDB did not take it; there is no such key then.
        """
        made = new_key()
        record = ApiKeyRecord(
            prefix=made.prefix, org=org, created_at=datetime.now(UTC), **request.model_dump()
        )
        document: Document = {
            "_id": _document_id(org, made.prefix),
            "key_hash": hash_of(made.key),
            **record.model_dump(),
            "scopes": [scope.value for scope in record.scopes],
        }
        async with storage_errors("store an API key"):
            await self._keys.of(org).insert_one(storable(document, "the API key"))
        return CreatedKey(key=made.key, record=record)

    async def list_keys(self, org: str) -> list[ApiKeyRecord]:
        """The org's keys, the newest first; revoked and expired ones too.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("list API keys"):
            found = await self._keys.of(org).find({}, sort=[("created_at", -1)], limit=MOST_LISTED)
        return read_all(found, reader(ApiKeyRecord), "API key")

    async def revoke(self, org: str, prefix: str) -> bool:
        """End a key for good, from the next request on; False if the org has no such key.

        Raises:
            StorageUnavailable: MongoDB did not take it; the key still works.
        """
        key_id = _document_id(org, prefix)
        change = {"$set": {"revoked_at": datetime.now(UTC)}}
        async with storage_errors("revoke an API key"):
            mine = self._keys.of(org)
            if await mine.update_one({"_id": key_id, "revoked_at": None}, change):
                return True
            return await mine.find_one({"_id": key_id}) is not None

    async def resolve(self, key: str) -> Principal | None:
        """Whom a key speaks for; None if it is not known, expired or revoked.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        digest = hash_of(key)
        async with storage_errors("look up an API key"):
            found = await self._keys.every_org().find_one({"key_hash": digest})
        # The look-up compares hashes, not keys; still, nothing is left to the server's timing.
        if found is None or not hmac.compare_digest(found["key_hash"], digest):
            return None
        record = read_one(found, reader(ApiKeyRecord), "API key", "make another key")
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
            async with storage_errors("note the use of an API key"):
                key_id = _document_id(record.org, record.prefix)
                await self._keys.of(record.org).update_one({"_id": key_id}, used)
        except StorageUnavailable as error:  # a valid key opens also while nothing can be written
            log.warning("use of an API key not noted", prefix=record.prefix, error=error.message)


def _document_id(org: str, prefix: str) -> str:
    return f"{org}/{prefix}"
