"""The workers of a task queue; Temporal itself lists dead ones for minutes."""

from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

POLL_SECONDS = 75.0
"""A poll takes up to 60 s and is recorded at its start, so an older one is of a dead worker."""


async def polling_workers(
    client: Client, task_queue: str, now: float, patience: timedelta
) -> list[PollerInfo]:
    """The workers that polled for workflow tasks in the `POLL_SECONDS` before `now` (Unix time).

    Raises:
        RPCError: Temporal refuses, or does not answer within `patience`.
        RuntimeError: a lazy client was never connected.
    """
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    answer = await client.workflow_service.describe_task_queue(request, timeout=patience)
    since = (now - POLL_SECONDS) * 1e9
    return [each for each in answer.pollers if each.last_access_time.ToNanoseconds() >= since]
