"""The workflows of webhook deliveries, summaries and archives, started by name."""

from contextlib import suppress

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError
from typing_extensions import override

from adapters.temporal.errors import is_not_found, message_errors, temporal_errors
from adapters.temporal.sessions import TemporalSessions
from adapters.temporal.task_queue import fair_to
from domain.errors import NotFound
from domain.ids import SessionKey, archive_workflow_id, summary_workflow_id, webhook_workflow_id
from domain.sessions.session import SessionStatus
from domain.transcripts.ports import ArchiveRuns, SummaryRuns
from domain.transcripts.summary import SummaryOrder
from domain.webhooks.deliveries import DeliveryKey
from domain.webhooks.ports import DeliveryRuns

DELIVERY, SUMMARY, ARCHIVE = "webhook", "summary", "archive"
DELIVER_NOW = "deliver_now"


class _Runs:
    """Starts workflows on the task queue of the sessions."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    async def _start(
        self,
        workflow: str,
        argument: object,
        workflow_id: str,
        description: str,
        org: str,
        reuse: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    ) -> bool:
        """Start a workflow; False if one with this id is there already."""
        try:
            with temporal_errors():
                await self._client.start_workflow(
                    workflow,
                    argument,
                    id=workflow_id,
                    task_queue=self._task_queue,
                    id_reuse_policy=reuse,
                    static_summary=description,
                    priority=fair_to(org),
                )
        except WorkflowAlreadyStartedError:
            return False
        return True


class TemporalDeliveryRuns(_Runs, DeliveryRuns):
    """Starts deliveries."""

    @override
    async def start(self, key: DeliveryKey) -> None:
        await self._start_delivery(key, WorkflowIDReusePolicy.REJECT_DUPLICATE)

    @override
    async def start_again(self, key: DeliveryKey) -> None:
        with message_errors():
            try:
                handle = self._client.get_workflow_handle(webhook_workflow_id(*key))
                await handle.signal(DELIVER_NOW)
            except RPCError as error:
                if not is_not_found(error):
                    raise
                # If another request started it in the meantime, it is being delivered now.
                await self._start_delivery(key, WorkflowIDReusePolicy.ALLOW_DUPLICATE)

    async def _start_delivery(self, key: DeliveryKey, reuse: WorkflowIDReusePolicy) -> None:
        description = f"webhook delivery {key.delivery_id}"
        workflow_id = webhook_workflow_id(*key)
        await self._start(DELIVERY, key._asdict(), workflow_id, description, key.org, reuse)


class TemporalSummaryRuns(_Runs, SummaryRuns):
    """Starts further runs of summaries."""

    @override
    async def start(self, order: SummaryOrder) -> bool:
        description = f"summary {order.revision} of session {order.session_id}"
        workflow_id = summary_workflow_id(order.key)
        return await self._start(SUMMARY, order, workflow_id, description, order.org)


class TemporalArchiveRuns(_Runs, ArchiveRuns):
    """Starts the archive workflows of sessions that were closed from outside."""

    @override
    async def start(self, status: SessionStatus) -> None:
        key = SessionKey(status.org, status.session_id)
        order = {**key._asdict(), "agent_id": status.agent_id, "last_attempt": status.attempt}
        # A session that Temporal no longer knows is summarised without its plan.
        with suppress(NotFound):
            config = (await TemporalSessions(self._client, self._task_queue).input(key)).config
            order |= {"agent_id": config.agent_id, "analysis": config.analysis}
        description = f"archive of session {key.session_id}"
        await self._start(ARCHIVE, order, archive_workflow_id(key), description, key.org)
