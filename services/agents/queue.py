"""Serve the queue for places on agent servers, in one of all API processes."""

import asyncio

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
REPEAT_WARNING_SECONDS = 60.0


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
