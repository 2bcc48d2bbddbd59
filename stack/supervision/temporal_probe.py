"""One read and one write of Temporal's database that leave nothing behind."""

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


async def probe_temporal(client: Client, limit: timedelta) -> None:
    """Return if the database can be read and written.

    The read passes through the history service. The write replaces the configuration of an unused
    task queue, always the same row: no workflow, no history, nothing in the UI. Each request gets
    `limit` and is not retried: a wedged database fails every time.

    Raises:
        RPCError: One of them failed.
    """
    read = DescribeWorkflowExecutionRequest(
        namespace=client.namespace, execution=WorkflowExecution(workflow_id=_NAME)
    )
    write = UpdateTaskQueueConfigRequest(
        namespace=client.namespace,
        identity="everline",
        task_queue=_NAME,
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        update_queue_rate_limit=UpdateTaskQueueConfigRequest.RateLimitUpdate(reason="health check"),
    )
    service = client.workflow_service
    try:
        await service.describe_workflow_execution(read, timeout=limit)
    except RPCError as answer:
        if answer.status is not RPCStatusCode.NOT_FOUND:
            raise
    try:
        await service.update_task_queue_config(write, timeout=limit)
    except RPCError as answer:
        if answer.status is not RPCStatusCode.UNIMPLEMENTED:  # before server 1.29
            raise
