"""How the workers of this process end: all at the same time, within one grace."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from temporalio.worker import Worker

GRACEFUL_SHUTDOWN = timedelta(seconds=20)
"""Running activities get this long; cut ones are retried by another worker."""


@asynccontextmanager
async def serving(*workers: Worker) -> AsyncGenerator[None]:
    """Have workers serve for the block.

    One after the other they would take the sum of their graces, which is longer than a container
    is given before it is killed.
    """
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        try:
            yield
        finally:
            await asyncio.gather(*(worker.shutdown() for worker in workers))
