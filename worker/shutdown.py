"""Shuts down all workers of this process at the same time, within one grace period."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from temporalio.worker import Worker

GRACEFUL_SHUTDOWN = timedelta(seconds=20)
"""How long running activities get; interrupted ones are retried by another worker."""


@asynccontextmanager
async def serving(*workers: Worker) -> AsyncGenerator[None]:
    """Run workers while the block runs.

    Shutting them down one by one would take the sum of their grace periods, which is longer than
    a container gets before it is killed.
    """
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        try:
            yield
        finally:
            await asyncio.gather(*(worker.shutdown() for worker in workers))
