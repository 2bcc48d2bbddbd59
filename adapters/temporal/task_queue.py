"""Who polls a task queue of Temporal, which goes on listing workers for minutes after their end."""

from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

POLL_SECONDS = 75.0
"""A poll is noted when it begins and waits for up to 60 s, so an older one is of a dead worker."""


async def polling_workers(
    client: Client, task_queue: str, now: float, patience: timedelta
) -> list[PollerInfo]:
    """The workers that asked for workflow tasks within the last `POLL_SECONDS`.

    Args:
        client: Of the namespace.
        task_queue: Its name.
        now: Unix time.
        patience: How long Temporal may take to answer.

    Raises:
        RPCError: Temporal does not answer, or refuses.
        RuntimeError: A lazy client has never been connected.
    """
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    answer = await client.workflow_service.describe_task_queue(request, timeout=patience)
    return [poller for poller in answer.pollers if now - _asked(poller) <= POLL_SECONDS]


def _asked(poller: PollerInfo) -> float:
    """When its last poll began (Unix time)."""
    return poller.last_access_time.ToNanoseconds() / 1e9
