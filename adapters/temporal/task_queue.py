"""The workers of a task queue, and whose tasks Temporal gives them next."""

import hashlib
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.common import Priority

POLL_SECONDS = 75.0
"""A poll takes up to 60 s and is recorded at its start, so an older one is of a dead worker."""
MAX_KEY_CHARS = 64
"""Temporal refuses a longer fairness key."""


def fair_to(org: str) -> Priority:
    """The priority of a workflow of an org, which its activities and child workflows inherit.

    Of the tasks that wait, each org's come in turn. Servers without fairness ignore the key.
    """
    key = org if len(org) <= MAX_KEY_CHARS else hashlib.sha256(org.encode()).hexdigest()
    return Priority(fairness_key=key)


async def polling_workers(
    client: Client,
    task_queue: str,
    now: float,
    patience: timedelta,
    polled_for: TaskQueueType.ValueType = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
) -> list[PollerInfo]:
    """The workers that polled a queue in the `POLL_SECONDS` before `now` (Unix time).

    Temporal itself lists dead ones for minutes.

    Raises:
        RPCError: Temporal refuses, or does not answer within `patience`.
        RuntimeError: a lazy client was never connected.
    """
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=polled_for,
    )
    answer = await client.workflow_service.describe_task_queue(request, timeout=patience)
    since = (now - POLL_SECONDS) * 1e9
    return [each for each in answer.pollers if each.last_access_time.ToNanoseconds() >= since]
