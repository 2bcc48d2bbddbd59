"""Webhook endpoints: where an org receives events."""

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
    """`whsec_` and base64, as in Standard Webhooks."""
    created_at: datetime
    expires_at: datetime | None = None
    """When a rotated secret stops signing; None for the current one."""

    def signs_at(self, now: datetime) -> bool:
        """Whether deliveries are signed with it at that time."""
        return self.expires_at is None or now < self.expires_at


class EndpointKey(NamedTuple):
    """What identifies an endpoint."""

    org: str
    endpoint_id: str


class Endpoint(BaseModel):
    """A receiver of an org's events."""

    org: str
    endpoint_id: str
    url: str
    events: list[Annotated[EventType, or_else(EventType.TEST)]] = []
    """The events it receives; all if empty. So unknown events stay in: an empty list means all."""
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
    """The current one first, then rotated ones that still sign."""

    @property
    def key(self) -> EndpointKey:
        """What identifies this endpoint."""
        return EndpointKey(self.org, self.endpoint_id)

    def wants(self, event: Event) -> bool:
        """Whether it receives an event; none from before it was created."""
        chosen = not self.events or event.type in self.events
        return self.enabled and chosen and event.at >= self.created_at


def new_endpoint_id(now: datetime) -> str:
    """A new id that sorts by the time of creation, to the millisecond."""
    return f"we_{int(now.timestamp() * 1000):012x}{secrets.token_hex(6)}"
