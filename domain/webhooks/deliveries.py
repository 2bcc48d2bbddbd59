"""Deliveries of events to endpoints, with their results."""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import BaseModel

from domain.json_model import or_else
from domain.webhooks.endpoints import Endpoint
from domain.webhooks.events import Event, EventType

MAX_ATTEMPTS_KEPT = 50
"""Attempts in a delivery's log, the newest ones."""

USUAL_SCHEDULE = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds before each retry, as Standard Webhooks recommends: ten attempts in 3 days."""
MOST_RETRIES = 30


class DeliveryStatus(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    """Not attempted yet, or waiting for a retry."""
    DELIVERED = "delivered"
    DEAD_LETTER = "dead_letter"
    """Not retried unless requested."""


class DeliveryAttempt(BaseModel):
    """One delivery attempt."""

    at: datetime
    delivered: bool
    status_code: int | None = None
    """None if there was no answer."""
    duration_ms: int
    reason: str | None = None
    """Why it failed, in a sentence; the receiver's response is not stored."""


class DeliveryKey(NamedTuple):
    """What identifies a delivery."""

    org: str
    delivery_id: str


class Delivery(BaseModel):
    """One event on its way to one endpoint."""

    org: str
    delivery_id: str
    endpoint_id: str
    event: Annotated[EventType, or_else(EventType.TEST)]
    """An unknown event is sent unchanged, because `body` names it."""
    event_id: str
    session_id: str | None = None
    body: str
    """The body of every attempt, byte for byte."""
    status: Annotated[DeliveryStatus, or_else(DeliveryStatus.DEAD_LETTER)] = DeliveryStatus.PENDING
    reason: str | None = None
    """Why it is a dead letter, in a sentence."""
    occurred_at: datetime
    """When the event happened; the log is in this order."""
    updated_at: datetime
    next_attempt_at: datetime | None = None
    attempt_count: int = 0
    attempts: list[DeliveryAttempt] = []

    @property
    def key(self) -> DeliveryKey:
        """What identifies this delivery."""
        return DeliveryKey(self.org, self.delivery_id)


def delivery_of(event: Event, endpoint: Endpoint) -> Delivery:
    """The delivery of an event to an endpoint; repeating an event gives the same one."""
    parts = f"{event.event_id}\x1f{endpoint.endpoint_id}"
    return Delivery(
        org=event.org,
        delivery_id=f"dlv_{hashlib.sha256(parts.encode()).hexdigest()[:32]}",
        endpoint_id=endpoint.endpoint_id,
        event=event.type,
        event_id=event.event_id,
        session_id=event.session_id,
        body=event.body(),
        occurred_at=event.at,
        updated_at=event.at,
        next_attempt_at=event.at,
    )


class DeliveryFilter(BaseModel):
    """Which deliveries of an org are wanted; None means any."""

    endpoint_id: str | None = None
    status: DeliveryStatus | None = None
    event: EventType | None = None


class SendAnswer(BaseModel):
    """What a receiver answered to one attempt."""

    status_code: int | None = None
    """None if it did not answer."""
    duration_ms: int
    reason: str | None = None
    """Why the attempt failed; None if it succeeded."""
    final: bool = False
    """Whether no later attempt can succeed."""
    retry_after: float | None = None
    """Seconds that the receiver asked to wait."""
