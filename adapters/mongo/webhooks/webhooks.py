"""Webhook endpoints and deliveries.

Secrets are encrypted; what operators look for (URLs, states, reasons, times) is readable.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, document_id, document_of, storable
from adapters.mongo.reading import StoredModel
from adapters.mongo.sort_keys import sort_key_of_time
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
from domain.webhooks.ports import DeliveryStore, EndpointStore

ENDPOINTS = "webhook_endpoints"
DELIVERIES = "webhook_deliveries"
FILTERS = ("endpoint_id", "status", "event")
"""Fields that deliveries can be filtered by, in any combination."""
KEPT_SECONDS = 30 * 24 * 3600
"""When MongoDB deletes a delivery: long after its last attempt."""

_DELIVERY = StoredModel("webhook delivery", reader(Delivery))
_SECRETS = TypeAdapter(list[SigningSecret])


class MongoEndpoints(EndpointStore):
    """One document per endpoint."""

    def __init__(self, database: Database, codec: EncryptionCodec) -> None:
        self._endpoints = OrgCollection(database[ENDPOINTS])
        self._codec = codec
        self._stored = StoredModel("webhook endpoint", self._endpoint)

    @override
    async def insert(self, endpoint: Endpoint) -> None:
        sealed = self._sealed(endpoint.secrets)
        document = document_of(endpoint, "the endpoint", document_id(*endpoint.key), secrets=sealed)
        await self._endpoints.of(endpoint.org).insert_one(document)

    @override
    async def get(self, key: EndpointKey) -> Endpoint | None:
        return await self._endpoints.of(key.org).get(document_id(*key), self._stored)

    @override
    async def list_endpoints(self, org: str) -> list[Endpoint]:
        found = await self._endpoints.of(org).find(
            {}, sort=[("endpoint_id", 1)], limit=2 * MAX_ENDPOINTS
        )
        return StoredModel("webhook endpoint", self._listed).all(found)

    @override
    async def change(self, key: EndpointKey, fields: dict[str, Any]) -> bool:
        if "secrets" in fields:
            raise AssertionError("secrets are stored encrypted, by `replace_secrets`")
        return await self._endpoints.of(key.org).update_one(
            {"_id": document_id(*key)}, {"$set": storable(fields, "the endpoint")}
        )

    @override
    async def replace_secrets(
        self, key: EndpointKey, kept: Sequence[SigningSecret], rotations: int
    ) -> bool:
        wanted = {"_id": document_id(*key), "rotations": rotations - 1}
        change = {
            "rotations": rotations,
            "secrets": self._sealed(kept),
            "updated_at": kept[0].created_at,
        }
        return await self._endpoints.of(key.org).update_one(wanted, {"$set": change})

    @override
    async def delete(self, key: EndpointKey) -> bool:
        return await self._endpoints.of(key.org).delete_one({"_id": document_id(*key)})

    def _sealed(self, secrets: Sequence[SigningSecret]) -> bytes:
        return self._codec.seal(_SECRETS.dump_json(list(secrets)))

    def _endpoint(self, document: Document) -> Endpoint:
        secrets = _SECRETS.validate_json(self._codec.unseal(document["secrets"]))
        return reader(Endpoint)(document | {"secrets": secrets})

    def _listed(self, document: Document) -> Endpoint:
        try:
            return self._stored.one(document)
        except Unreadable:  # logged where it was raised
            return reader(Endpoint)(document | {"secrets": []})


class MongoDeliveries(DeliveryStore):
    """One document per delivery, with its attempts; its only writer is its workflow."""

    def __init__(self, database: Database) -> None:
        self._deliveries = OrgCollection(database[DELIVERIES])

    @override
    async def insert(self, delivery: Delivery) -> bool:
        place = sort_key_of_time(delivery.occurred_at) + delivery.delivery_id
        name = document_id(*delivery.key)
        document = document_of(delivery, "the delivery", name, place=place)
        return await self._deliveries.of(delivery.org).insert_new(document)

    @override
    async def get(self, key: DeliveryKey) -> Delivery | None:
        return await self._deliveries.of(key.org).get(document_id(*key), _DELIVERY)

    @override
    async def note(self, delivery: Delivery, attempt: DeliveryAttempt | None) -> None:
        change: dict[str, Any] = {
            "$set": delivery.model_dump(
                include={"status", "reason", "next_attempt_at", "updated_at"}
            )
        }
        if attempt:
            kept = {"$each": [attempt.model_dump()], "$slice": -MAX_ATTEMPTS_KEPT}
            change |= {"$push": {"attempts": kept}, "$inc": {"attempt_count": 1}}
        await self._deliveries.of(delivery.org).update_one(
            {"_id": document_id(*delivery.key)}, change
        )

    @override
    async def page(
        self, org: str, wanted: DeliveryFilter, limit: int, after: str | None
    ) -> Page[Delivery]:
        conditions = wanted.model_dump(exclude_none=True)
        return await self._deliveries.of(org).page(conditions, limit, _DELIVERY, after)
