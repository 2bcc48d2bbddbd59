"""Webhook endpoints: where an org wants to be told of events."""

import secrets
from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field

from domain.json_model import or_else
from domain.webhooks.events import Event, EventType

MAX_ENDPOINTS = 20
"""Endpoints of one org."""


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
    events: list[Annotated[EventType, or_else(EventType.TEST)]] = []
    """What it is told; everything if empty. So an unknown event is not left out: an endpoint that
    wants no other would be told everything."""
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


def new_endpoint_id(now: datetime) -> str:
    """A new id that sorts by the time of creation, to the millisecond."""
    return f"we_{int(now.timestamp() * 1000):012x}{secrets.token_hex(6)}"
