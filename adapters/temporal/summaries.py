"""The summary workflows, started by name: adapters import no workflows."""

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from typing_extensions import override

from adapters.temporal.errors import temporal_errors
from domain.ids import summary_workflow_id
from domain.transcripts.ports import SummaryRuns
from domain.transcripts.summary import SummaryOrder

WORKFLOW = "summary"


class TemporalSummaryRuns(SummaryRuns):
    """Starts re-runs on the task queue of the sessions."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    @override
    async def start(self, order: SummaryOrder) -> bool:
        try:
            with temporal_errors():
                await self._client.start_workflow(
                    WORKFLOW,
                    order,
                    id=summary_workflow_id(order.key),
                    task_queue=self._task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    static_summary=f"summary {order.revision} of session {order.session_id}",
                )
        except WorkflowAlreadyStartedError:
            return False
        return True
