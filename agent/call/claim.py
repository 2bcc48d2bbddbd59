"""Claiming an attempt: before anything can be heard, Everline says yes or no."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from agent.backoff import Backoff
from agent.callbacks import CallbackClient, Unavailable
from domain.sessions.messages import AgentFailed, AgentReady, ReadyAnswer
from domain.transcripts.transcript import Turn

log = structlog.stdlib.get_logger(__name__)

READY_BUDGET = 20.0
"""Seconds from the start of the job for the turns so far and the claim together."""
FAILED_BUDGET = 10.0
"""Seconds to tell Everline that the agent cannot start; after that its own time limit tells it."""

_Answer = TypeVar("_Answer")


class ReadyBudget:
    """The time in which an attempt has to be claimed; runs from its creation."""

    def __init__(self, client: CallbackClient, seconds: float = READY_BUDGET) -> None:
        self._client = client
        self._deadline = time.monotonic() + seconds

    async def turns_so_far(self, session_id: str) -> list[Turn]:
        """The turns of earlier attempts.

        Raises:
            CallbackError: refused, or not to be had within the budget.
        """
        return await retry_until(
            self._deadline, "turns_so_far", lambda: self._client.turns_so_far(session_id)
        )

    async def claim(self, claim: AgentReady) -> ReadyAnswer:
        """Everline's answer to the claim.

        Raises:
            CallbackError: refused, or not to be had within the budget.
        """
        return await retry_until(self._deadline, "ready", lambda: self._client.ready(claim))


async def tell_failed(client: CallbackClient, failure: AgentFailed) -> None:
    """Tell Everline that the agent of this attempt cannot start.

    Raises:
        CallbackError: refused, or not reached in `FAILED_BUDGET`.
    """
    deadline = time.monotonic() + FAILED_BUDGET
    await retry_until(deadline, "failed", lambda: client.failed(failure))


async def retry_until(
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
