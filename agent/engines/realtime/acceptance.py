"""Waiting until a provider has accepted a session.

The plugins connect in the background, where a failure would mean silence for the caller.
"""
# The SDK leaves the types of a realtime session's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import time
from typing import Any

import structlog
from livekit.agents import llm
from livekit.agents.metrics import RealtimeModelMetrics

from agent.engines.descriptor import Descriptor
from agent.engines.faults import EngineFault, EngineUnavailable
from agent.engines.realtime.refusals import problem_of

log = structlog.stdlib.get_logger(__name__)

ACCEPT_SECONDS = 8.0
"""Time limit from the session's creation. The later claim shares its budget of 20 s with this."""


class Acceptance:
    """A provider's answer to the first connection of a session."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._decided = asyncio.Event()
        self._problem: EngineFault | EngineUnavailable | None = None
        self._deadline: float | None = None

    def watch(self, session: llm.RealtimeSession[Any]) -> None:
        """Listen for the failures of a new session."""
        if self._deadline is None:
            self._deadline = time.monotonic() + ACCEPT_SECONDS
        session.on("error", self._failed)

    def connected(self, metrics: object) -> None:
        """Handle metrics: the first of a connection hold the time it took to connect."""
        if isinstance(metrics, RealtimeModelMetrics) and metrics.acquire_time > 0:
            self.accepted()

    def accepted(self) -> None:
        """The provider has accepted the session."""
        if not self._decided.is_set():
            self._problem = None
            self._decided.set()

    async def wait(self) -> None:
        """Return when the provider has accepted the session.

        Raises:
            EngineFault: it refuses the session, and would do so again.
            EngineUnavailable: it has not accepted in time, or cannot now.
        """
        left = ACCEPT_SECONDS if self._deadline is None else self._deadline - time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0)):
                await self._decided.wait()
        except TimeoutError:
            self._problem = self._problem or EngineUnavailable(
                f"{self._descriptor.provider} has not answered within {ACCEPT_SECONDS:g} s"
            )
        if self._problem is not None:
            raise self._problem

    def _failed(self, event: llm.RealtimeModelError) -> None:
        if self._decided.is_set():
            return
        self._problem = problem_of(event.error, self._descriptor)
        log.warning("realtime_provider_failed", why=str(self._problem))
        if isinstance(self._problem, EngineFault) or not event.recoverable:
            self._decided.set()
