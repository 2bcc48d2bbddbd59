"""Webhooks to customers: endpoints, the events they are sent, and what became of each delivery.

The format is that of Standard Webhooks. Events are thin: ids, states, outcomes and times; whoever
wants the transcript asks the API for it.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, Field

from domain.ids import SessionKey

MAX_ENDPOINTS = 20
"""Endpoints of one org."""
MAX_ATTEMPTS_KEPT = 50
"""Attempts in a delivery's log; of a longer story the newest."""
USUAL_SCHEDULE = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds before each further attempt, as Standard Webhooks recommends: ten attempts in 3 days."""
MOST_RETRIES = 30


def webhook_task_queue(task_queue: str) -> str:
    """The queue of the attempts: a receiver that hangs must not keep sessions waiting."""
    return f"{task_queue}-webhooks"


class EventType(StrEnum):
    """What an endpoint can be told."""

    SESSION_STARTED = "session.started"
    SESSION_AGENT_JOINED = "session.agent_joined"
    SESSION_ENDED = "session.ended"
    SESSION_FAILED = "session.failed"
    TRANSCRIPT_READY = "transcript.ready"
    SUMMARY_READY = "summary.ready"
    TEST = "webhook.test"
    """Sent by hand, to every endpoint that is asked to be tested."""


class Event(BaseModel):
    """Something that happened; the same event has the same id, however often it is noticed."""

    event_id: str
    """`webhook-id` of every delivery of it."""
    type: EventType
    org: str
    session_id: str | None = None
    at: datetime
    """When it happened, not when it was noticed."""
    data: dict[str, Any]

    def body(self) -> str:
        """What is sent, as JSON text: `type`, `timestamp` and `data`."""
        content = {"type": self.type.value, "timestamp": self.at.isoformat(), "data": self.data}
        return json.dumps(content, separators=(",", ":"))


def event_id(key: SessionKey, kind: EventType, revision: str = "") -> str:
    """The id of a session's event: there is one of each kind, unless it has revisions."""
    parts = "\x1f".join((key.org, key.session_id, kind.value, revision))
    return f"evt_{hashlib.sha256(parts.encode()).hexdigest()[:32]}"


class SigningSecret(BaseModel):
    """A secret that deliveries are signed with."""

    value: str = Field(repr=False)
    """`whsec_` and base64, as every Standard Webhooks library takes it."""
    created_at: datetime
    expires_at: datetime | None = None
    """When a rotated secret stops signing; None for the current one."""

    def signs_at(self, now: datetime) -> bool:
        """Whether deliveries are signed with it at that time."""
        return self.expires_at is None or now < self.expires_at


class EndpointKey(NamedTuple):
    """What identifies an endpoint: without the org there is no way to ask for one."""

    org: str
    endpoint_id: str


class Endpoint(BaseModel):
    """Where an org wants to be told of events."""

    org: str
    endpoint_id: str
    url: str
    events: list[EventType] = []
    """What it is told; everything if empty."""
    description: str | None = None
    enabled: bool = True
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    """Why Everline disabled it; None if its org did."""
    failing_since: datetime | None = None
    """The first failure after its last success."""
    created_at: datetime
    updated_at: datetime
    rotations: int = 0
    secrets: list[SigningSecret] = Field(default=[], repr=False)
    """The current one first, then those that still sign beside it."""

    @property
    def key(self) -> EndpointKey:
        """What identifies this endpoint."""
        return EndpointKey(self.org, self.endpoint_id)

    def wants(self, event: Event) -> bool:
        """Whether it is told of an event; not of what happened before it was made."""
        chosen = not self.events or event.type in self.events
        return self.enabled and chosen and event.at >= self.created_at


class DeliveryStatus(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    """It was not tried yet, or will be tried again."""
    DELIVERED = "delivered"
    DEAD_LETTER = "dead_letter"
    """It is not tried again unless somebody asks for it."""


class DeliveryAttempt(BaseModel):
    """One try to deliver."""

    at: datetime
    delivered: bool
    status_code: int | None = None
    """None if there was no answer."""
    duration_ms: int
    reason: str | None = None
    """Why it failed, in a sentence; the receiver's own words are not kept."""


class DeliveryKey(NamedTuple):
    """What identifies a delivery."""

    org: str
    delivery_id: str


class Delivery(BaseModel):
    """One event on its way to one endpoint."""

    org: str
    delivery_id: str
    endpoint_id: str
    event: EventType
    event_id: str
    session_id: str | None = None
    body: str
    """What is sent at every attempt, byte for byte."""
    status: DeliveryStatus = DeliveryStatus.PENDING
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
    """The delivery of an event to an endpoint: there is one, however often it is announced."""
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


def new_endpoint_id(now: datetime) -> str:
    """A new id that sorts by the time of creation, to the millisecond."""
    return f"we_{int(now.timestamp() * 1000):012x}{secrets.token_hex(6)}"


class DeliveryFilter(BaseModel):
    """Which deliveries of an org are wanted; None means any."""

    endpoint_id: str | None = None
    status: DeliveryStatus | None = None
    event: EventType | None = None


class DeliveryPage(BaseModel):
    """Deliveries, the newest first."""

    deliveries: list[Delivery]
    next: str | None
    """Cursor of the next page; None on the last one."""


class SendAnswer(BaseModel):
    """What a receiver answered to one attempt."""

    status_code: int | None = None
    """None if it did not answer."""
    duration_ms: int
    reason: str | None = None
    """Why that is a failure; None if it took the event."""
    final: bool = False
    """Whether no later attempt can succeed."""
    retry_after: float | None = None
    """Seconds for which the receiver asked to be left alone."""


class WebhookSender(Protocol):
    """Sends one request to a customer's receiver."""

    def check(self, url: str) -> None:
        """Return if the URL may be called, as far as that can be told without calling it.

        Raises:
            InvalidInput: it will never be called, with the reason.
        """
        ...

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> SendAnswer:
        """POST once, bounded; whatever goes wrong is in the answer."""
        ...


class EndpointStore(Protocol):
    """The endpoints of all orgs; no call works without an org. Secrets are stored encrypted."""

    async def insert(self, endpoint: Endpoint) -> None:
        """Store a new endpoint."""
        ...

    async def get(self, key: EndpointKey) -> Endpoint | None:
        """An endpoint, or None if the org has no such one."""
        ...

    async def list_endpoints(self, org: str) -> list[Endpoint]:
        """The org's endpoints, the oldest first."""
        ...

    async def change(self, key: EndpointKey, fields: dict[str, Any]) -> bool:
        """Set fields of an endpoint, never its secrets; False if there is none."""
        ...

    async def replace_secrets(
        self, key: EndpointKey, kept: Sequence[SigningSecret], rotations: int
    ) -> bool:
        """Store secrets as rotation number `rotations`; False if that was done meanwhile."""
        ...

    async def delete(self, key: EndpointKey) -> bool:
        """Delete an endpoint; False if there was none. Its deliveries stay in the log."""
        ...


class DeliveryStore(Protocol):
    """The deliveries of all orgs; no call works without an org."""

    async def insert(self, delivery: Delivery) -> bool:
        """Store a new delivery; False if it is there already, which is then left as it is."""
        ...

    async def get(self, key: DeliveryKey) -> Delivery | None:
        """A delivery, or None if the org has no such one (any more)."""
        ...

    async def note(self, delivery: Delivery, attempt: DeliveryAttempt | None) -> None:
        """Store the delivery's status, reason and next attempt, and add an attempt to its log."""
        ...

    async def page(
        self, org: str, wanted: DeliveryFilter, limit: int, after: str | None
    ) -> DeliveryPage:
        """Deliveries of an org, the newest first; `after` is the cursor of the page before."""
        ...


class DeliveryRuns(Protocol):
    """The workflows that deliver: one per delivery."""

    async def start(self, key: DeliveryKey) -> None:
        """Have it delivered; nothing happens if that was ever started."""
        ...

    async def start_again(self, key: DeliveryKey) -> None:
        """Have it delivered now, whatever happened to it before."""
        ...
