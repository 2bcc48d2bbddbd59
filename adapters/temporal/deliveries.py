"""The delivery workflows, started by name: adapters import no workflows."""

from contextlib import suppress

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError
from typing_extensions import override

from adapters.temporal.errors import is_not_found, temporal_errors
from domain.ids import webhook_workflow_id
from domain.webhooks.deliveries import DeliveryKey
from domain.webhooks.ports import DeliveryRuns

WORKFLOW = "webhook"
DELIVER_NOW = "deliver_now"


class TemporalDeliveryRuns(DeliveryRuns):
    """Starts deliveries on the task queue of the sessions."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    @override
    async def start(self, key: DeliveryKey) -> None:
        with temporal_errors(), suppress(WorkflowAlreadyStartedError):
            await self._start(key, WorkflowIDReusePolicy.REJECT_DUPLICATE)

    @override
    async def start_again(self, key: DeliveryKey) -> None:
        with temporal_errors():
            try:
                handle = self._client.get_workflow_handle(webhook_workflow_id(*key))
                await handle.signal(DELIVER_NOW)
            except RPCError as error:
                if not is_not_found(error):
                    raise
                # If another request started it in the meantime, it is being delivered now.
                with suppress(WorkflowAlreadyStartedError):
                    await self._start(key, WorkflowIDReusePolicy.ALLOW_DUPLICATE)

    async def _start(self, key: DeliveryKey, reuse: WorkflowIDReusePolicy) -> None:
        await self._client.start_workflow(
            WORKFLOW,
            {"org": key.org, "delivery_id": key.delivery_id},
            id=webhook_workflow_id(*key),
            task_queue=self._task_queue,
            id_reuse_policy=reuse,
            static_summary=f"webhook delivery {key.delivery_id}",
        )
