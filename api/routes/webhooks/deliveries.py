"""The log of webhook deliveries: what was sent, what came back, and once more by hand."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.answers import Answer
from api.dependencies import Client, Deps, webhooks_of
from api.problems import problems
from domain.ids import ID_PATTERN, Id
from domain.webhooks.deliveries import (
    Delivery,
    DeliveryAttempt,
    DeliveryFilter,
    DeliveryKey,
    DeliveryStatus,
)
from domain.webhooks.events import EventType

router = APIRouter(prefix="/v1/webhooks/deliveries", tags=["webhooks"])

DeliveryId = Annotated[str, Path(pattern=ID_PATTERN, description="The delivery's id.")]


class DeliveryAnswer(Answer):
    """One event on its way to one endpoint, with the attempts so far."""

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
    attempts: list[DeliveryAttempt] = Field(description="the newest last; of many the newest 50")
    body: dict[str, Any] = Field(description="what is sent")


class DeliveryList(BaseModel):
    """Deliveries, the newest event first."""

    deliveries: list[DeliveryAnswer]
    next: str | None = Field(description="cursor of the next page; null on the last one")


@router.get("")
async def list_webhook_deliveries(
    deps: Deps,
    client: Client,
    status: DeliveryStatus | None = None,
    webhook_id: Annotated[Id | None, Query(description="only those to this endpoint")] = None,
    event: EventType | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[
        str | None, Query(min_length=1, max_length=200, description="`next` of the page before")
    ] = None,
) -> DeliveryList:
    """The org's deliveries of the last 30 days."""
    wanted = DeliveryFilter(endpoint_id=webhook_id, status=status, event=event)
    page = await webhooks_of(deps).deliveries.page(client.org, wanted, limit, cursor)
    return DeliveryList(deliveries=[answer_of(one) for one in page.items], next=page.next)


@router.get("/{delivery_id}")
async def get_webhook_delivery(
    delivery_id: DeliveryId, deps: Deps, client: Client
) -> DeliveryAnswer:
    """One delivery with its attempts."""
    key = DeliveryKey(client.org, delivery_id)
    return answer_of(await webhooks_of(deps).delivery(key))


@router.post("/{delivery_id}/redeliver", status_code=202, responses=problems(409))
async def redeliver_webhook(delivery_id: DeliveryId, deps: Deps, client: Client) -> DeliveryAnswer:
    """Deliver once more, now, with the same `webhook-id`; also what was delivered before."""
    key = DeliveryKey(client.org, delivery_id)
    return answer_of(await webhooks_of(deps).redeliver(key, datetime.now(UTC)))


def answer_of(delivery: Delivery) -> DeliveryAnswer:
    """The answer for a delivery."""
    return DeliveryAnswer.of(
        delivery, webhook_id=delivery.endpoint_id, body=json.loads(delivery.body)
    )
