"""Tell sessions of lost jobs."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable

import structlog

from domain.agents.servers import LostJob
from domain.errors import EverlineError, MessageRefused, Unavailable
from domain.ids import SessionKey
from domain.sessions.messages import AgentLost, agent_lost

log = structlog.get_logger()

SECONDS = 2.0
"""How long one heartbeat waits for Temporal; the agent server sends it again."""
AT_ONCE = 20
MOST_REMEMBERED = 10_000
MOST_REFUSED = 1_000
MOST_TRIES = 100
"""How often a refused loss is tried again; some can never succeed, such as one with a bad id."""

_Loss = tuple[SessionKey, str]
"""A session, and the event id of a loss."""


class LostJobs:
    """Tells sessions of lost jobs, several at a time.

    What was told is remembered, so that a call that is repeated goes on where the last one ended.
    A loss that its session refuses is tried again with each later call.
    """

    def __init__(
        self, tell: Callable[[SessionKey, AgentLost], Awaitable[object]], seconds: float = SECONDS
    ) -> None:
        """Tell by `tell`, and have `seconds` for each call.

        A single loss has half of that, so that sessions that do not answer leave time for others.
        """
        self._tell_session = tell
        self._seconds = seconds
        self._told: OrderedDict[_Loss, None] = OrderedDict()
        self._refused: OrderedDict[_Loss, AgentLost] = OrderedDict()
        self._tries: Counter[_Loss] = Counter()
        """Of those that are not told yet."""

    async def tell(self, lost: Iterable[LostJob]) -> None:
        """Tell the sessions of these jobs.

        Raises:
            Unavailable: some were not told, because Temporal does not answer: send all again.
        """
        named: dict[_Loss, AgentLost] = {}
        for job in lost:
            if job.key and job.attempt:
                message = agent_lost(
                    job.attempt,
                    job.job_id,
                    job.reason,
                    unanswered=job.unanswered,
                    undelivered_turn=job.undelivered_turn,
                )
                if (job.key, message.event_id) not in self._told:
                    named[job.key, message.event_id] = message
        pending = dict(self._refused) | named
        if len(self._tries) > MOST_REMEMBERED:
            self._tries.clear()
        gate = asyncio.Semaphore(AT_ONCE)
        # Those that hang must not always come before the others.
        order = sorted(pending, key=lambda loss: self._tries[loss])
        try:
            async with asyncio.timeout(self._seconds):
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
            self._tries[loss] += 1
            try:
                async with asyncio.timeout(self._seconds / 2):
                    await self._tell_session(loss[0], message)
            except TimeoutError:
                raise _too_slow() from None
            except EverlineError as error:
                if isinstance(error, Unavailable) and not isinstance(error, MessageRefused):
                    raise
                self._refuse(loss, message, error.message)
            else:
                self._refused.pop(loss, None)
                del self._tries[loss]
                self._told[loss] = None
                if len(self._told) > MOST_REMEMBERED:
                    self._told.popitem(last=False)

    def _refuse(self, loss: _Loss, message: AgentLost, reason: str) -> None:
        if loss not in self._refused:
            key = loss[0]
            log.error("lost job refused", org=key.org, session=key.session_id, reason=reason)
        self._refused[loss] = message
        if self._tries[loss] >= MOST_TRIES:
            self._forget(loss)
        if len(self._refused) > MOST_REFUSED:
            self._forget(next(iter(self._refused)))

    def _forget(self, loss: _Loss) -> None:
        del self._refused[loss], self._tries[loss]


def _too_slow() -> Unavailable:
    return Unavailable("Temporal did not accept the lost jobs in time")
