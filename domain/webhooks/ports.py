"""What webhooks need from the outside world: their archive, and a way to send."""

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
    ) -> Page[Delivery]:
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
