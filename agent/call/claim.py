"""Callbacks that an agent repeats while the API is unavailable, such as its claim."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from agent.backoff import Backoff
from agent.callbacks import CallbackClient, CallbackError, Unavailable
from domain.sessions.dispatch_metadata import EverlineMetadata
from domain.sessions.messages import AgentFailed

log = structlog.stdlib.get_logger(__name__)

READY_SECONDS = 20.0
"""For fetching the turns so far and the claim, together."""
FAILED_SECONDS = 10.0
"""For reporting that the agent cannot start; after that Everline's own time limit applies."""

_Answer = TypeVar("_Answer")


async def report_failure(
    everline: EverlineMetadata, job_id: str, reason: str, *, retryable: bool
) -> None:
    """Report to Everline that this attempt's agent cannot start; logs if that fails too."""
    failure = AgentFailed(
        event_id=f"failed:{everline.attempt}:{job_id}",
        attempt=everline.attempt,
        job_id=job_id,
        reason=reason[:500],
        retryable=retryable,
    )
    deadline = time.monotonic() + FAILED_SECONDS
    try:
        async with CallbackClient(everline.callback_url, everline.callback_token) as client:
            await retry_until(deadline, "failed", lambda: client.failed(failure))
    except CallbackError as error:
        log.error("agent_failed_not_delivered", why=str(error))


async def retry_until(
    deadline: float, what: str, call: Callable[[], Awaitable[_Answer]]
) -> _Answer:
    """Repeat a callback while the API is unavailable, until `deadline` (monotonic seconds).

    Raises:
        CallbackError: refused, or still unavailable at the deadline.
    """
    backoff = Backoff(first=0.2, longest=2.0)
    while True:
        try:
            return await call()
        except Unavailable as error:
            pause = backoff.next_pause()
            if time.monotonic() + pause >= deadline:
                raise
            log.warning("callback_retried", callback=what, why=str(error))
            await asyncio.sleep(pause)
