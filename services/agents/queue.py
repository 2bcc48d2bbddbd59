"""Serve the queue for places on agent servers, in one of all API processes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import structlog

from domain.agents.ports import Lease
from domain.errors import Unavailable
from services.agents.admission import Admission

log = structlog.get_logger()

SERVE_SECONDS = 0.25
LEASE_SECONDS = 1.0
"""How often the lease is renewed, or asked for."""
RELEASE_SECONDS = 5.0
"""How often places of sessions without a workflow are looked for."""
RELEASE_LEASE_SECONDS = 1.0
"""How long a process that stops may take to release the lease."""
QUEUE_LEASE_SECONDS = 3.0
"""How long the lease lasts without a call. Two processes that serve the queue at the same time do
no harm, so this may be short."""
REPEAT_WARNING_SECONDS = 60.0


@asynccontextmanager
async def serving_queue(admission: Admission, lease: Lease) -> AsyncGenerator[None]:
    """Serve the queue during the block; after it, another process may do so at once."""
    serving = asyncio.create_task(serve_queue(admission, lease))
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        # Another process waits for the lease to end otherwise.
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(RELEASE_LEASE_SECONDS):
                await lease.release()


async def serve_queue(admission: Admission, lease: Lease) -> None:
    """Serve the queue until cancelled, whatever fails, while this process holds the lease."""
    clock = asyncio.get_running_loop().time
    holds, lease_due, release_due, warn_due = False, 0.0, 0.0, 0.0
    while True:
        try:
            if clock() >= lease_due:
                lease_due = clock() + LEASE_SECONDS
                holds = await lease.hold()
            if holds:
                await admission.serve_queue()
            if holds and clock() >= release_due:
                release_due = clock() + RELEASE_SECONDS
                await admission.release_unused()
        except Unavailable as error:
            holds = False
            if clock() >= warn_due:
                warn_due = clock() + REPEAT_WARNING_SECONDS
                log.warning("the queue for agents is not served", reason=error.message)
        except Exception:
            # A bug in one round must not end all later ones.
            log.exception("the queue for agents is not served")
        await asyncio.sleep(SERVE_SECONDS)
