"""Claiming an attempt, which Everline must accept before anything can be heard."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from agent.backoff import Backoff
from agent.callbacks import CallbackClient, CallbackError, Unavailable
from domain.sessions.dispatch_metadata import EverlineMetadata
from domain.sessions.messages import AgentFailed, AgentReady, ReadyAnswer
from domain.transcripts.transcript import Turn

log = structlog.stdlib.get_logger(__name__)

READY_BUDGET = 20.0
"""Seconds from the start of the job for fetching the turns so far and the claim."""
FAILED_BUDGET = 10.0
"""Seconds to report that the agent cannot start; after that Everline's own time limit applies."""

_Answer = TypeVar("_Answer")


class ReadyBudget:
    """The time limit for claiming an attempt; runs from its creation."""

    def __init__(self, client: CallbackClient, seconds: float = READY_BUDGET) -> None:
        self._client = client
        self._deadline = time.monotonic() + seconds

    async def turns_so_far(self, session_id: str) -> list[Turn]:
        """The turns of earlier attempts.

        Raises:
            CallbackError: refused, or unavailable throughout the budget.
        """
        return await _retry_until(
            self._deadline, "turns_so_far", lambda: self._client.turns_so_far(session_id)
        )

    async def claim(self, claim: AgentReady) -> ReadyAnswer:
        """Everline's answer to the claim.

        Raises:
            CallbackError: refused, or unavailable throughout the budget.
        """
        return await _retry_until(self._deadline, "ready", lambda: self._client.ready(claim))


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
    deadline = time.monotonic() + FAILED_BUDGET
    try:
        async with CallbackClient(everline.callback_url, everline.callback_token) as client:
            await _retry_until(deadline, "failed", lambda: client.failed(failure))
    except CallbackError as error:
        log.error("agent_failed_not_delivered", why=str(error))


async def _retry_until(
    deadline: float, what: str, call: Callable[[], Awaitable[_Answer]]
) -> _Answer:
    """Repeat a callback while the API is unavailable, until `deadline` (monotonic seconds)."""
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
