"""Ports of webhooks: endpoints, deliveries and the sender.

Every method of a store or of `DeliveryRuns` raises `Unavailable` if it is not reached.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from domain.paging import Page
from domain.webhooks.deliveries import (
    Delivery,
    DeliveryAttempt,
    DeliveryFilter,
    DeliveryKey,
    SendAnswer,
)
from domain.webhooks.endpoints import Endpoint, EndpointKey, SigningSecret


class WebhookSender(Protocol):
    """Sends one request to a customer's receiver."""

    def check(self, url: str) -> None:
        """Check that the URL may be called, as far as possible without calling it.

        Raises:
            InvalidInput: it may never be called, with the reason.
        """
        ...

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> SendAnswer:
        """POST once, with a time limit; failures are in the answer, never raised."""
        ...


class EndpointStore(Protocol):
    """Webhook endpoints; every call names an org. Secrets are stored encrypted."""

    async def insert(self, endpoint: Endpoint) -> None:
        """Store a new endpoint."""
        ...

    async def get(self, key: EndpointKey) -> Endpoint | None:
        """An endpoint; None if the org has no such endpoint.

        Raises:
            Unreadable: for example, its secrets cannot be decrypted.
        """
        ...

    async def list_endpoints(self, org: str) -> list[Endpoint]:
        """The org's endpoints, oldest first.

        One with unreadable secrets is included without them: its events are still queued, and its
        deliveries wait until they can be signed.
        """
        ...

    async def change(self, key: EndpointKey, fields: dict[str, Any]) -> bool:
        """Set fields of an endpoint, never its secrets; False if it does not exist."""
        ...

    async def replace_secrets(
        self, key: EndpointKey, kept: Sequence[SigningSecret], rotations: int
    ) -> bool:
        """Store secrets as rotation number `rotations`; False if another rotation came first."""
        ...

    async def delete(self, key: EndpointKey) -> bool:
        """Delete an endpoint; False if it does not exist. Its deliveries stay in the log."""
        ...


class DeliveryStore(Protocol):
    """Webhook deliveries; every call names an org."""

    async def insert(self, delivery: Delivery) -> bool:
        """Store a new delivery; False, changing nothing, if it is already stored."""
        ...

    async def get(self, key: DeliveryKey) -> Delivery | None:
        """A delivery; None if the org does not have it, or has it no longer."""
        ...

    async def note(self, delivery: Delivery, attempt: DeliveryAttempt | None) -> None:
        """Update status, reason and next attempt, and append an attempt to the log."""
        ...

    async def page(
        self, org: str, wanted: DeliveryFilter, limit: int, after: str | None
    ) -> Page[Delivery]:
        """The org's deliveries, newest first; `after` is the `next` of an earlier page.

        Raises:
            InvalidInput: `after` is not such a cursor.
        """
        ...


class DeliveryRuns(Protocol):
    """The delivery workflows, one per delivery."""

    async def start(self, key: DeliveryKey) -> None:
        """Start the delivery; does nothing if it was ever started."""
        ...

    async def start_again(self, key: DeliveryKey) -> None:
        """Deliver now, whatever happened before; wakes a run that waits for its next attempt."""
        ...
