"""Whether the worker of this machine does its work: `python -m worker.health`, for health checks.

A worker has no port. It does its work if Temporal was asked for some from here lately.
"""

import asyncio
import os
import socket
import sys
import time
from datetime import timedelta

from temporalio.service import RPCError

from adapters.settings import SettingsError, TemporalSettings, load
from adapters.temporal import client as temporal_client
from adapters.temporal.errors import temporal_error
from adapters.temporal.task_queue import polling_workers

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
    try:
        client = await temporal_client.connect(settings)
        workers = await polling_workers(
            client, settings.temporal_task_queue, time.time(), ANSWER_TIME
        )
    except (RPCError, RuntimeError) as problem:
        told = temporal_error(problem).in_full()
        raise NotPollingError(f"{settings.temporal_address}: {told}") from None
    if not any(worker.identity.endswith(f"@{hostname}") for worker in workers):
        raise NotPollingError(
            f"no worker of {hostname} polls the task queue {settings.temporal_task_queue!r}"
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
