"""Whether the worker of this machine does its work: `python -m worker.health`, for health checks.

A worker has no port. It does its work if Temporal was asked for some from here lately.
"""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterable
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import RPCError

from adapters import temporal_client
from adapters.settings import SettingsError, TemporalSettings, load

POLL_SECONDS = 75.0
"""A poll is noted when it begins and waits for up to 60 s, so an older one is of a dead worker."""
ANSWER_TIME = timedelta(seconds=4)


class NotPollingError(Exception):
    """The worker does not do its work; the message says why."""


async def check(settings: TemporalSettings, hostname: str) -> None:
    """Return if a worker of this host polls the task queue.

    Args:
        settings: Where Temporal is, and the task queue.
        hostname: The host's name, with which the SDK signs its polls as `pid@hostname`.

    Raises:
        NotPollingError: Temporal does not answer, or no such worker has asked it lately.
    """
    request = DescribeTaskQueueRequest(
        namespace=settings.temporal_namespace,
        task_queue=TaskQueue(name=settings.temporal_task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    try:
        client = await temporal_client.connect(settings)
        queue = await client.workflow_service.describe_task_queue(request, timeout=ANSWER_TIME)
    except (RPCError, RuntimeError) as problem:
        raise NotPollingError(
            f"Temporal does not answer at {settings.temporal_address} ({type(problem).__name__})"
        ) from None
    if not polled_lately(queue.pollers, hostname, time.time()):
        raise NotPollingError(
            f"no worker of {hostname} polls the task queue {settings.temporal_task_queue!r}"
        )


def polled_lately(pollers: Iterable[PollerInfo], hostname: str, now: float) -> bool:
    """Tell whether one of a host's pollers asked within the last `POLL_SECONDS` (Unix time)."""
    return any(
        poller.identity.endswith(f"@{hostname}")
        and now - poller.last_access_time.ToNanoseconds() / 1e9 <= POLL_SECONDS
        for poller in pollers
    )


def main() -> int:
    """Say what is wrong on standard error; returns the exit code, 1 if anything is."""
    try:
        asyncio.run(check(load(TemporalSettings), socket.gethostname()))
    except (SettingsError, NotPollingError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK's threads outlive its client, and the interpreter's end under them was seen to abort
    # the process when all was done.
    os._exit(code)
