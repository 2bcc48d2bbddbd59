"""Webhook endpoints and the log of their deliveries, as an org sees them."""

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
"""Secrets that sign at the same time: the current one and those rotated lately."""


@dataclass
class Webhooks:
    """Everything that an org can do with its webhooks."""

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
        """Make an endpoint; its secret is in the answer, and never shown again.

        Raises:
            InvalidInput: the URL will never be called, with the reason.
            Conflict: the org has as many endpoints as it may have.
        """
        self.sender.check(url)
        if len(await self.endpoints.list_endpoints(org)) >= MAX_ENDPOINTS:
            raise Conflict(
                f"an org has at most {MAX_ENDPOINTS} webhook endpoints",
                cure="delete one that is not needed, or let one receive more events",
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
            NotFound: the org has no such one.
        """
        found = await self.endpoints.get(key)
        if found is None:
            raise _no_endpoint(key)
        return found

    async def change(self, key: EndpointKey, wanted: dict[str, Any], now: datetime) -> Endpoint:
        """Change `url`, `events`, `description` or `enabled`; what is not given stays.

        Enabling forgets why it was disabled and since when it failed.

        Raises:
            NotFound: the org has no such endpoint.
            InvalidInput: the new URL will never be called.
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
        if not await self.endpoints.change(key, fields | {"updated_at": now}):
            raise _no_endpoint(key)
        return await self.endpoint(key)

    async def rotate(self, key: EndpointKey, overlap: timedelta, now: datetime) -> Endpoint:
        """Make a new secret; the one before signs beside it for `overlap`.

        Raises:
            NotFound: the org has no such endpoint.
            Conflict: it was rotated at the same time, or too often within its overlaps.
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
            raise Conflict("the secret was rotated by somebody else at the same time")
        return await self.endpoint(key)

    async def delete(self, key: EndpointKey) -> None:
        """Delete an endpoint; what is on its way to it becomes a dead letter.

        Raises:
            NotFound: the org has no such one.
        """
        if not await self.endpoints.delete(key):
            raise _no_endpoint(key)

    async def test(self, key: EndpointKey, now: datetime) -> Delivery:
        """Send the endpoint an event `webhook.test`, whatever events it has chosen.

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
            NotFound: the org has no such one, or it is older than the log.
        """
        found = await self.deliveries.get(key)
        if found is None:
            raise NotFound(f"there is no delivery {key.delivery_id}", field="delivery_id")
        return found

    async def redeliver(self, key: DeliveryKey, now: datetime) -> Delivery:
        """Deliver again now, with the same `webhook-id`, also what was delivered before.

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
            "webhook.test is sent when it is asked for, and cannot be chosen", field="events"
        )
    return sorted(set(events))


def _require_enabled(endpoint: Endpoint) -> None:
    if not endpoint.enabled:
        why = f": {endpoint.disabled_reason}" if endpoint.disabled_reason else ""
        raise Conflict(
            f"the endpoint is disabled{why}", cure='enable it with PATCH and {"enabled": true}'
        )


def _no_endpoint(key: EndpointKey) -> NotFound:
    return NotFound(f"there is no webhook endpoint {key.endpoint_id}", field="webhook_id")
