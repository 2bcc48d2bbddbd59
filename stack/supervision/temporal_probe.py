"""One read and one write of Temporal's database, leaving nothing behind."""

from datetime import timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    UpdateTaskQueueConfigRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

_NAME = "everline-stack-health"
"""A workflow that never exists, and a task queue that nobody polls."""


async def probe_temporal(client: Client, patience: timedelta) -> None:
    """Return if the database can be read and written.

    The read passes through the history service. The write replaces the configuration of an unused
    task queue, always the same row: no workflow, no history, nothing in the UI.

    Args:
        client: Of the namespace.
        patience: How long each of the two may take.

    Raises:
        RPCError: One of them failed. Nothing is tried again: a wedged database fails every time.
    """
    try:
        await client.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(
                namespace=client.namespace, execution=WorkflowExecution(workflow_id=_NAME)
            ),
            timeout=patience,
        )
    except RPCError as answer:
        if answer.status is not RPCStatusCode.NOT_FOUND:
            raise
    try:
        await client.workflow_service.update_task_queue_config(
            UpdateTaskQueueConfigRequest(
                namespace=client.namespace,
                identity="everline",
                task_queue=_NAME,
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
                update_queue_rate_limit=UpdateTaskQueueConfigRequest.RateLimitUpdate(
                    reason="health check"
                ),
            ),
            timeout=patience,
        )
    except RPCError as answer:
        if answer.status is not RPCStatusCode.UNIMPLEMENTED:  # before server 1.29
            raise
