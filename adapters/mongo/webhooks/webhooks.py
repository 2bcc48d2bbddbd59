"""Webhook endpoints and deliveries, behind the ports `EndpointStore` and `DeliveryStore`.

Secrets are encrypted; what operators look for (URLs, states, reasons, times) is readable.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pymongo.errors import DuplicateKeyError

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, dump, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import page_of, read_all, read_one
from adapters.mongo.sort_keys import check_sort_key, sort_key_of_time
from adapters.mongo.tenancy import OrgCollection
from adapters.temporal.encryption import EncryptionCodec
from domain.errors import Unreadable
from domain.json_model import reader
from domain.paging import Page
from domain.webhooks.deliveries import (
    MAX_ATTEMPTS_KEPT,
    Delivery,
    DeliveryAttempt,
    DeliveryFilter,
    DeliveryKey,
)
from domain.webhooks.endpoints import MAX_ENDPOINTS, Endpoint, EndpointKey, SigningSecret

ENDPOINTS = "webhook_endpoints"
DELIVERIES = "webhook_deliveries"
FILTERS = ("endpoint_id", "status", "event")
"""What a list of deliveries can be filtered by, in any combination."""
KEPT_SECONDS = 30 * 24 * 3600
"""When MongoDB forgets a delivery: long after its last attempt."""

_DELIVERY = "webhook delivery"
_SECRETS = TypeAdapter(list[SigningSecret])


class MongoEndpoints:
    """One document per endpoint."""

    def __init__(self, database: Database, codec: EncryptionCodec) -> None:
        self._endpoints = OrgCollection(database[ENDPOINTS])
        self._codec = codec

    async def insert(self, endpoint: Endpoint) -> None:
        """Store a new endpoint.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        document: Document = {
            "_id": _endpoint_document_id(endpoint.key),
            **endpoint.model_dump(exclude={"secrets"}),
            "secrets": self._sealed(endpoint.secrets),
        }
        document["events"] = [event.value for event in endpoint.events]
        async with storage_errors("store a webhook endpoint"):
            await self._endpoints.of(endpoint.org).insert_one(storable(document, "the endpoint"))

    async def get(self, key: EndpointKey) -> Endpoint | None:
        """An endpoint; None if the org has no such one.

        Raises:
            StorageUnavailable: MongoDB does not answer.
            Unreadable: for instance, its secrets cannot be decrypted.
        """
        async with storage_errors("read a webhook endpoint"):
            found = await self._endpoints.of(key.org).find_one({"_id": _endpoint_document_id(key)})
        return None if found is None else read_one(found, self._endpoint, "webhook endpoint")

    async def list_endpoints(self, org: str) -> list[Endpoint]:
        """The org's endpoints, the oldest first.

        One whose secrets cannot be read is there without them: its events are put on their way,
        and its deliveries wait until they can be signed.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("list webhook endpoints"):
            found = await self._endpoints.of(org).find(
                {}, sort=[("endpoint_id", 1)], limit=2 * MAX_ENDPOINTS
            )
        return read_all(found, self._listed, "webhook endpoint")

    async def change(self, key: EndpointKey, fields: dict[str, Any]) -> bool:
        """Set fields of an endpoint, never its secrets; False if there is none.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        if "secrets" in fields:
            raise AssertionError("secrets are stored encrypted, by `replace_secrets`")
        async with storage_errors("change a webhook endpoint"):
            return await self._endpoints.of(key.org).update_one(
                {"_id": _endpoint_document_id(key)}, {"$set": storable(fields, "the endpoint")}
            )

    async def replace_secrets(
        self, key: EndpointKey, kept: Sequence[SigningSecret], rotations: int
    ) -> bool:
        """Store secrets as rotation number `rotations`; False if that was done meanwhile.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        wanted = {"_id": _endpoint_document_id(key), "rotations": rotations - 1}
        change = {
            "rotations": rotations,
            "secrets": self._sealed(kept),
            "updated_at": kept[0].created_at,
        }
        async with storage_errors("rotate a webhook secret"):
            return await self._endpoints.of(key.org).update_one(wanted, {"$set": change})

    async def delete(self, key: EndpointKey) -> bool:
        """Delete an endpoint; False if there was none.

        Raises:
            StorageUnavailable: MongoDB does not do it.
        """
        async with storage_errors("delete a webhook endpoint"):
            return await self._endpoints.of(key.org).delete_one({"_id": _endpoint_document_id(key)})

    def _sealed(self, secrets: Sequence[SigningSecret]) -> bytes:
        return self._codec.seal(_SECRETS.dump_json(list(secrets)))

    def _endpoint(self, document: Document) -> Endpoint:
        secrets = _SECRETS.validate_json(self._codec.unseal(document["secrets"]))
        return reader(Endpoint)(document | {"secrets": secrets})

    def _listed(self, document: Document) -> Endpoint:
        try:
            return read_one(document, self._endpoint, "webhook endpoint")
        except Unreadable:  # logged where it was raised
            return reader(Endpoint)(document | {"secrets": []})


class MongoDeliveries:
    """One document per delivery, with its attempts; its one writer is its workflow."""

    def __init__(self, database: Database) -> None:
        self._deliveries = OrgCollection(database[DELIVERIES])

    async def insert(self, delivery: Delivery) -> bool:
        """Store a new delivery; False if it is there already, which is then left as it is.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        document: Document = {
            "_id": _delivery_document_id(delivery.key),
            **dump(delivery, "the delivery"),
            "place": sort_key_of_time(delivery.occurred_at) + delivery.delivery_id,
        }
        async with storage_errors("store a webhook delivery"):
            try:
                await self._deliveries.of(delivery.org).insert_one(
                    storable(document, "the delivery")
                )
            except DuplicateKeyError:
                return False
        return True

    async def get(self, key: DeliveryKey) -> Delivery | None:
        """A delivery; None if the org has no such one (any more).

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        wanted = {"_id": _delivery_document_id(key)}
        async with storage_errors("read a webhook delivery"):
            found = await self._deliveries.of(key.org).find_one(wanted)
        return None if found is None else read_one(found, reader(Delivery), _DELIVERY)

    async def note(self, delivery: Delivery, attempt: DeliveryAttempt | None) -> None:
        """Store the delivery's status, reason and next attempt, and add an attempt to its log.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        change: dict[str, Any] = {
            "$set": delivery.model_dump(
                include={"status", "reason", "next_attempt_at", "updated_at"}
            )
        }
        if attempt:
            kept = {"$each": [attempt.model_dump()], "$slice": -MAX_ATTEMPTS_KEPT}
            change |= {"$push": {"attempts": kept}, "$inc": {"attempt_count": 1}}
        async with storage_errors("note a webhook delivery"):
            await self._deliveries.of(delivery.org).update_one(
                {"_id": _delivery_document_id(delivery.key)}, change
            )

    async def page(
        self, org: str, wanted: DeliveryFilter, limit: int, after: str | None
    ) -> Page[Delivery]:
        """Deliveries of an org, the newest first; `after` is the cursor of the page before.

        Raises:
            StorageUnavailable: MongoDB does not answer.
            InvalidInput: `after` is not from an earlier page.
        """
        conditions: Document = wanted.model_dump(exclude_none=True)
        if after is not None:
            conditions["place"] = {"$lt": check_sort_key(after)}
        async with storage_errors("list webhook deliveries"):
            found = await self._deliveries.of(org).find(
                conditions, sort=[("place", -1)], limit=limit + 1
            )
        return page_of(found, limit, reader(Delivery), _DELIVERY)


def _endpoint_document_id(key: EndpointKey) -> str:
    return f"{key.org}/{key.endpoint_id}"


def _delivery_document_id(key: DeliveryKey) -> str:
    return f"{key.org}/{key.delivery_id}"
