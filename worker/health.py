"""Health check of the worker on this machine: `python -m worker.health`.

A worker has no port; it is healthy if it has polled Temporal recently.
"""

import asyncio
import socket
import sys
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.service import RPCError

from adapters.settings import SettingsError, SlotSettings, TemporalSettings, load
from adapters.temporal import client as temporal_client
from adapters.temporal.clock import TemporalClock
from adapters.temporal.errors import temporal_error
from adapters.temporal.probe import TemporalProbe
from adapters.temporal.task_queue import polling_workers
from domain.task_queues import TaskKind, task_queue_of
from worker.exit import exit_at_once

ANSWER_TIME = timedelta(seconds=4)


class HealthSettings(TemporalSettings, SlotSettings):
    """Where this host's worker has to poll."""

    @property
    def polled(self) -> tuple[str, TaskQueueType.ValueType]:
        """One of its task queues, and what it polls there for."""
        kind = next(kind for kind, slots in self.slots.items() if slots)
        workflows = kind is TaskKind.SESSIONS
        return task_queue_of(self.temporal_task_queue, kind), (
            TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
            if workflows
            else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
        )


class NotPollingError(Exception):
    """The worker does not poll; the message says why."""


async def check(settings: HealthSettings, hostname: str) -> None:
    """Return if a worker of this host polls its task queue; the SDK polls as `pid@hostname`.

    Raises:
        NotPollingError: Temporal does not answer, or no such worker has polled recently.
    """
    task_queue, polled_for = settings.polled
    try:
        client = await temporal_client.connect(settings)
        # By Temporal's clock, which wrote the times of the polls.
        now = (await TemporalClock(TemporalProbe(client)).now()).timestamp()
        workers = await polling_workers(client, task_queue, now, ANSWER_TIME, polled_for)
    except (RPCError, RuntimeError) as problem:
        reason = temporal_error(problem).in_full()
        raise NotPollingError(f"{settings.temporal_address}: {reason}") from None
    if not any(worker.identity.endswith(f"@{hostname}") for worker in workers):
        raise NotPollingError(f"no worker of {hostname} polls the task queue {task_queue!r}")


def main() -> int:
    """Print what is wrong to standard error; returns the exit code."""
    try:
        asyncio.run(check(load(HealthSettings), socket.gethostname()))
    except (SettingsError, NotPollingError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    exit_at_once(main())
