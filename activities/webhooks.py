"""Tell the customers' endpoints: announce what happened, and make one attempt of a delivery."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel
from temporalio import activity

from activities.shares import UNLIMITED, OrgShares
from domain.errors import StorageUnavailable
from domain.json_model import or_else
from domain.sessions.session import SessionStatus
from domain.webhooks.deliveries import DeliveryKey, DeliveryStatus
from services.webhooks.delivery import Announcer, Deliverer


class DeliverEvent(BaseModel):
    """The delivery to make. What is sent, and where to, is read when it is sent."""

    org: str
    delivery_id: str

    @property
    def key(self) -> DeliveryKey:
        """What identifies the delivery."""
        return DeliveryKey(self.org, self.delivery_id)


class AttemptDelivery(DeliverEvent):
    """One attempt of it, numbered from 1 within its run."""

    number: int


class Attempted(BaseModel):
    """What became of an attempt."""

    status: Annotated[DeliveryStatus, or_else(DeliveryStatus.DEAD_LETTER)]
    pause: float | None = None
    """Seconds until the next one; None if there is none."""


class WebhookActivities:
    """Endpoints are in MongoDB; without it (None) there are none."""

    def __init__(
        self,
        announcer: Announcer | None,
        deliverer: Deliverer | None,
        shares: OrgShares = UNLIMITED,
    ) -> None:
        self._announcer = announcer
        self._deliverer = deliverer
        self._shares = shares

    @activity.defn
    async def announce_session(self, status: SessionStatus) -> int:
        """Announce what a session has been through so far; returns how many deliveries are new."""
        return await self._announcer.announce_session(status) if self._announcer else 0

    @activity.defn
    async def attempt_delivery(self, order: AttemptDelivery) -> Attempted:
        """Send the event once, and write down what came of it."""
        if self._deliverer is None:
            raise StorageUnavailable(
                "this worker has no MongoDB to read webhook endpoints from",
                field="MONGODB_URI",
                cure="set the worker's MONGODB_URI to the API's value",
            )
        with self._shares.slot_within_share(order.org):
            tried = await self._deliverer.attempt(order.key, order.number, datetime.now(UTC))
        return Attempted(status=tried.status, pause=tried.pause)
