"""The log of webhook deliveries; each can be sent again."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, Field

from api.answers import Answer
from api.dependencies import Client, Deps, Limit, next_page, webhooks_of
from api.problems import problems
from api.routing import Router
from domain.ids import ID_PATTERN, Id
from domain.webhooks.deliveries import (
    Delivery,
    DeliveryAttempt,
    DeliveryFilter,
    DeliveryKey,
    DeliveryStatus,
)
from domain.webhooks.events import EventType

router = Router(prefix="/v1/webhooks/deliveries", tags=["webhooks"])

DeliveryId = Annotated[str, Path(pattern=ID_PATTERN, description="The delivery's id.")]


class DeliveryAnswer(Answer):
    """The delivery of one event to one endpoint, with its attempts so far."""

    delivery_id: str
    webhook_id: str
    event: EventType
    event_id: str = Field(description="`webhook-id` of every attempt")
    session_id: str | None
    status: DeliveryStatus
    reason: str | None = Field(description="why it is a dead letter")
    occurred_at: datetime
    updated_at: datetime
    next_attempt_at: datetime | None
    attempt_count: int
    attempts: list[DeliveryAttempt] = Field(description="the last 50, newest last")
    body: dict[str, Any] = Field(description="the body that is sent")


class DeliveryList(BaseModel):
    """A page of deliveries, newest event first."""

    deliveries: list[DeliveryAnswer]
    next: str | None = Field(description="cursor of the next page; null on the last one")


@router.get("")
async def list_webhook_deliveries(
    deps: Deps,
    client: Client,
    status: DeliveryStatus | None = None,
    webhook_id: Annotated[Id | None, Query(description="only deliveries to this endpoint")] = None,
    event: EventType | None = None,
    limit: Limit = 50,
    cursor: Annotated[str | None, next_page(200)] = None,
) -> DeliveryList:
    """List the org's deliveries of the last 30 days."""
    wanted = DeliveryFilter(endpoint_id=webhook_id, status=status, event=event)
    page = await webhooks_of(deps).deliveries.page(client.org, wanted, limit, cursor)
    return DeliveryList(deliveries=[answer_of(one) for one in page.items], next=page.next)


@router.get("/{delivery_id}")
async def get_webhook_delivery(
    delivery_id: DeliveryId, deps: Deps, client: Client
) -> DeliveryAnswer:
    """Get a delivery with its attempts."""
    key = DeliveryKey(client.org, delivery_id)
    return answer_of(await webhooks_of(deps).delivery(key))


@router.post("/{delivery_id}/redeliver", status_code=202, responses=problems(409))
async def redeliver_webhook(delivery_id: DeliveryId, deps: Deps, client: Client) -> DeliveryAnswer:
    """Send a delivery again, with the same `webhook-id`, even if it was delivered before."""
    key = DeliveryKey(client.org, delivery_id)
    return answer_of(await webhooks_of(deps).redeliver(key, datetime.now(UTC)))


def answer_of(delivery: Delivery) -> DeliveryAnswer:
    """The answer for a delivery."""
    return DeliveryAnswer.of(
        delivery, webhook_id=delivery.endpoint_id, body=json.loads(delivery.body)
    )
