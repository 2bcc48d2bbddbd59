"""The workflows that write summaries, behind the port `SummaryRuns`.

They are named, not imported: adapters know no workflows.
"""

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError
from typing_extensions import override

from adapters.temporal.errors import temporal_error
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
        except (RPCError, RuntimeError) as error:
            raise temporal_error(error) from None
        return True
