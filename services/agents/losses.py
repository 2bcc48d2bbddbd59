"""Tell sessions of the lost jobs that agent servers report."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Iterable

import structlog

from domain.agents.servers import LostJob
from domain.errors import EverlineError, MessageRefused, Unavailable
from domain.ids import SessionKey
from domain.sessions.messages import AgentLost, agent_lost
from domain.sessions.ports import Sessions

log = structlog.get_logger()

SECONDS = 2.0
"""How long one heartbeat waits for Temporal; the agent server sends it again."""
LOSS_SECONDS = 1.0
"""How long one loss may take, so that sessions that do not answer leave time for the others."""
AT_ONCE = 20
MOST_REMEMBERED = 10_000
MOST_REFUSED = 1_000
MOST_TRIES = 100
"""How often a refused loss is tried again; some can never succeed, such as one with a bad id."""

_Loss = tuple[SessionKey, str]
"""A session, and the event id of a loss."""


class LostJobs:
    """Tells sessions of lost jobs, several at a time.

    What was told is remembered, so that a heartbeat that is sent again goes on where the last one
    ended. A loss that its session refuses is tried again with each later heartbeat.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._told: OrderedDict[_Loss, None] = OrderedDict()
        self._refused: OrderedDict[_Loss, tuple[AgentLost, int]] = OrderedDict()
        """With the number of tries."""

    async def tell(self, lost: Iterable[LostJob]) -> None:
        """Tell the sessions of these jobs, within `SECONDS`.

        Raises:
            Unavailable: some were not told, because Temporal does not answer: send all again.
        """
        named: dict[_Loss, AgentLost] = {}
        for job in lost:
            if job.key and job.attempt:
                message = agent_lost(job.attempt, job.job_id, job.reason)
                if (job.key, message.event_id) not in self._told:
                    named[job.key, message.event_id] = message
        pending = {loss: message for loss, (message, _) in self._refused.items()} | named
        gate = asyncio.Semaphore(AT_ONCE)
        # In another order each time: those that hang must not always come before the others.
        order = random.sample(list(pending), len(pending))
        try:
            async with asyncio.timeout(SECONDS):
                faults = await asyncio.gather(
                    *(self._tell(loss, pending[loss], gate) for loss in order),
                    return_exceptions=True,
                )
        except TimeoutError:
            if all(loss in self._told or loss in self._refused for loss in named):
                return
            raise _too_slow() from None
        for loss, fault in zip(order, faults, strict=True):
            if fault and loss in named:
                raise fault

    async def _tell(self, loss: _Loss, message: AgentLost, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                async with asyncio.timeout(LOSS_SECONDS):
                    await self._sessions.signal(loss[0], message)
            except TimeoutError:
                raise _too_slow() from None
            except EverlineError as error:
                if isinstance(error, Unavailable) and not isinstance(error, MessageRefused):
                    raise
                self._refuse(loss, message, error.message)
            else:
                self._refused.pop(loss, None)
                self._told[loss] = None
                if len(self._told) > MOST_REMEMBERED:
                    self._told.popitem(last=False)

    def _refuse(self, loss: _Loss, message: AgentLost, reason: str) -> None:
        _, tries = self._refused.pop(loss, (message, 0))
        if not tries:
            key = loss[0]
            log.error("lost job refused", org=key.org, session=key.session_id, reason=reason)
        if tries < MOST_TRIES:
            self._refused[loss] = message, tries + 1
        if len(self._refused) > MOST_REFUSED:
            self._refused.popitem(last=False)


def _too_slow() -> Unavailable:
    return Unavailable("Temporal did not accept the lost jobs in time")
