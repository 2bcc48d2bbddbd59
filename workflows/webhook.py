"""The delivery of one event to one endpoint: again and again over days, then a dead letter."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.webhooks import AttemptDelivery, DeliverEvent, WebhookActivities
    from domain.webhooks.deliveries import DeliveryStatus
    from workflows.waiting import until

_ATTEMPT = timedelta(seconds=90)
"""One attempt with its reads and writes; a receiver itself has less time."""
_STORE_IS_AWAY = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)
)


@workflow.defn(name="webhook")
class WebhookWorkflow:
    """How often and how long is decided by the worker's settings; each pause comes from there."""

    def __init__(self) -> None:
        self._now = False

    @workflow.signal
    def deliver_now(self) -> None:
        """Somebody asks for the delivery: the pause is over, and the schedule begins anew."""
        self._now = True

    @workflow.run
    async def run(self, order: DeliverEvent) -> DeliveryStatus:
        """Deliver; returns how it ended."""
        number = 1
        while True:
            self._now = False
            attempted = await workflow.execute_activity_method(
                WebhookActivities.attempt_delivery,
                AttemptDelivery(org=order.org, delivery_id=order.delivery_id, number=number),
                start_to_close_timeout=_ATTEMPT,
                retry_policy=_STORE_IS_AWAY,
                summary=f"attempt {number}",
            )
            if attempted.pause is None and not self._now:
                return attempted.status
            number += 1
            if await until(lambda: self._now, attempted.pause or 0, "the next attempt"):
                number = 1
