"""An org's webhook endpoints, and the log of their deliveries."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from domain.errors import Conflict, InvalidInput, NotFound
from domain.webhooks.deliveries import (
    Delivery,
    DeliveryKey,
    DeliveryStatus,
    delivery_of,
)
from domain.webhooks.endpoints import (
    MAX_ENDPOINTS,
    Endpoint,
    EndpointKey,
    SigningSecret,
    new_endpoint_id,
)
from domain.webhooks.events import Event, EventType
from domain.webhooks.ports import DeliveryRuns, DeliveryStore, EndpointStore, WebhookSender
from domain.webhooks.signatures import new_secret

MAX_SECRETS = 5
"""Secrets that sign at the same time: the current one and recently rotated ones."""


@dataclass
class Webhooks:
    """What an org can do with its webhooks."""

    endpoints: EndpointStore
    deliveries: DeliveryStore
    runs: DeliveryRuns
    sender: WebhookSender

    async def create(
        self,
        org: str,
        url: str,
        events: list[EventType],
        description: str | None,
        enabled: bool,
        now: datetime,
    ) -> Endpoint:
        """Create an endpoint; only this answer contains its secret.

        Raises:
            InvalidInput: the URL may not be called, with the reason.
            Conflict: the org has the maximum number of endpoints.
        """
        self.sender.check(url)
        if len(await self.endpoints.list_endpoints(org)) >= MAX_ENDPOINTS:
            raise Conflict(
                f"an org has at most {MAX_ENDPOINTS} webhook endpoints",
                cure="delete one, or let one receive more events",
            )
        endpoint = Endpoint(
            org=org,
            endpoint_id=new_endpoint_id(now),
            url=url,
            events=_chosen(events),
            description=description,
            enabled=enabled,
            created_at=now,
            updated_at=now,
            secrets=[SigningSecret(value=new_secret(), created_at=now)],
        )
        await self.endpoints.insert(endpoint)
        return endpoint

    async def endpoint(self, key: EndpointKey) -> Endpoint:
        """One endpoint.

        Raises:
            NotFound: the org has no such endpoint.
        """
        found = await self.endpoints.get(key)
        if found is None:
            raise NotFound(f"there is no webhook endpoint {key.endpoint_id}", field="webhook_id")
        return found

    async def change(self, key: EndpointKey, wanted: dict[str, Any], now: datetime) -> Endpoint:
        """Change the given ones of `url`, `events`, `description` and `enabled`.

        Enabling clears why the endpoint was disabled and since when it failed.

        Raises:
            NotFound: the org has no such endpoint.
            InvalidInput: the new URL may not be called.
        """
        fields = dict(wanted)
        if "url" in fields:
            self.sender.check(fields["url"])
        if "events" in fields:
            fields["events"] = _chosen(fields["events"])
        if fields.get("enabled"):
            fields |= {"disabled_at": None, "disabled_reason": None, "failing_since": None}
        elif fields.get("enabled") is False:
            fields |= {"disabled_at": now, "disabled_reason": None}
        await self.endpoints.change(key, fields | {"updated_at": now})
        return await self.endpoint(key)

    async def rotate(self, key: EndpointKey, overlap: timedelta, now: datetime) -> Endpoint:
        """Create a new secret; the previous one signs as well for `overlap`.

        Raises:
            NotFound: the org has no such endpoint.
            Conflict: another rotation came first, or too many secrets are still valid.
        """
        endpoint = await self.endpoint(key)
        until = now + overlap
        earlier = [
            secret.model_copy(update={"expires_at": min(secret.expires_at or until, until)})
            for secret in endpoint.secrets
        ]
        kept = [secret for secret in earlier if secret.signs_at(now)]
        if len(kept) >= MAX_SECRETS:
            raise Conflict(
                f"{len(kept)} secrets of this endpoint are still valid",
                cure="wait until one has expired, or rotate with overlap_hours 0",
            )
        current = SigningSecret(value=new_secret(), created_at=now)
        rotations = endpoint.rotations + 1
        if not await self.endpoints.replace_secrets(key, [current, *kept], rotations):
            await self.endpoint(key)
            raise Conflict("somebody else has rotated the secret at the same time")
        return await self.endpoint(key)

    async def delete(self, key: EndpointKey) -> None:
        """Delete an endpoint; its pending deliveries become dead letters.

        Raises:
            NotFound: the org has no such endpoint.
        """
        if not await self.endpoints.delete(key):
            await self.endpoint(key)

    async def test(self, key: EndpointKey, now: datetime) -> Delivery:
        """Send the endpoint an event `webhook.test`, whichever events it receives.

        Raises:
            NotFound: the org has no such endpoint.
            Conflict: it is disabled.
        """
        endpoint = await self.endpoint(key)
        _require_enabled(endpoint)
        event = Event(
            event_id=f"evt_{secrets.token_hex(16)}",
            type=EventType.TEST,
            org=key.org,
            at=now,
            data={"endpoint_id": key.endpoint_id},
        )
        delivery = delivery_of(event, endpoint)
        await self.deliveries.insert(delivery)
        await self.runs.start(delivery.key)
        return delivery

    async def delivery(self, key: DeliveryKey) -> Delivery:
        """One delivery with its attempts.

        Raises:
            NotFound: the org has no such delivery, or it is older than the log.
        """
        found = await self.deliveries.get(key)
        if found is None:
            raise NotFound(f"there is no delivery {key.delivery_id}", field="delivery_id")
        return found

    async def redeliver(self, key: DeliveryKey, now: datetime) -> Delivery:
        """Deliver again now, even if it was delivered, with the same `webhook-id`.

        Raises:
            NotFound: the org has no such delivery.
            Conflict: its endpoint is disabled, or was deleted.
        """
        delivery = await self.delivery(key)
        endpoint = await self.endpoints.get(EndpointKey(key.org, delivery.endpoint_id))
        if endpoint is None:
            raise Conflict("the endpoint of this delivery was deleted", field="delivery_id")
        _require_enabled(endpoint)
        again = delivery.model_copy(
            update={
                "status": DeliveryStatus.PENDING,
                "reason": None,
                "next_attempt_at": now,
                "updated_at": now,
            }
        )
        await self.deliveries.note(again, None)
        await self.runs.start_again(key)
        return again


def _chosen(events: list[EventType]) -> list[EventType]:
    if EventType.TEST in events:
        raise InvalidInput(
            "webhook.test is only sent on request, and cannot be chosen", field="events"
        )
    return sorted(set(events))


def _require_enabled(endpoint: Endpoint) -> None:
    if not endpoint.enabled:
        why = f": {endpoint.disabled_reason}" if endpoint.disabled_reason else ""
        raise Conflict(
            f"the endpoint is disabled{why}", cure='enable it with PATCH and {"enabled": true}'
        )
