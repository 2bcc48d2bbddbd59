"""What one org may start: sessions per second, sessions that wait for agents, open sessions."""

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from domain.access.ports import JoiningSessions
from domain.access.quotas import Life
from domain.errors import JoinQuotaExceeded, Unavailable
from domain.ids import SessionKey
from services.access.quotas import SessionQuota
from services.access.rate_limits import RequestRates

log = structlog.get_logger()

RETRY_SECONDS = 5
"""Retry-After of a start that is refused because too many wait for their agents."""
LIST_LAG_SECONDS = 2.0
"""How far Temporal's list may be behind."""
COUNT_SECONDS = 1.0
"""How long Temporal's count of an org serves all its starts: it answers few such questions."""
LONGEST_JOIN_SECONDS = 1_800.0
"""A start that is older waits for no agent any more."""


class JoinQuota:
    """Limits how many sessions of an org wait for their agents at the same time.

    Temporal counts them, with the starts of the last seconds that it may not have listed yet. It is
    asked only once this process has started as many sessions of the org as may wait. So several
    API processes that begin at the same time may each allow the whole limit.
    """

    def __init__(self, limit: int, sessions: JoiningSessions, clock: Callable[[], float]) -> None:
        """Use a limit of 1 or more; `clock` is monotonic, in seconds."""
        self._limit = limit
        self._sessions = sessions
        self._clock = clock
        self._starts: defaultdict[str, dict[str, float]] = defaultdict(dict)
        """By org: when its last sessions were started here, at most `limit` of them."""
        self._counts: dict[str, tuple[float, int]] = {}
        """By org: when Temporal was asked last, and its answer."""
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def take(self, key: SessionKey) -> None:
        """Count one start.

        Raises:
            JoinQuotaExceeded: the org has the maximum number, and this is not one of them.
            Unavailable: Temporal does not answer whether this is one of them.
        """
        starts, now = self._starts[key.org], self._clock()
        if key.session_id in starts:
            return
        if len(starts) >= self._limit and next(iter(starts.values())) > now - LONGEST_JOIN_SECONDS:
            unlisted = sum(at > now - LIST_LAG_SECONDS for at in starts.values())
            waiting = max(await self._waiting(key.org), unlisted)
            known = waiting >= self._limit and await self._sessions.life(key) is not Life.UNKNOWN
            if waiting >= self._limit and not known:
                raise JoinQuotaExceeded(
                    f"{waiting} sessions of the org wait for their agents, {self._limit} may",
                    retry_after=RETRY_SECONDS,
                    cure="wait for Retry-After seconds; GET /health/agent says what agents lack;"
                    " or raise EVERLINE_MAX_JOINS_PER_ORG",
                )
        starts[key.session_id] = now
        while len(starts) > self._limit:
            del starts[next(iter(starts))]

    async def _waiting(self, org: str) -> int:
        """How many of the org Temporal counts, or counted a moment ago; 0 if it does not tell."""
        async with self._locks[org]:
            at, count = self._counts.get(org, (-math.inf, 0))
            if self._clock() - at >= COUNT_SECONDS:
                try:
                    count = await self._sessions.joining(org)
                except Unavailable as error:
                    log.warning("joining sessions are not counted", org=org, reason=error.message)
                    return 0
                self._counts[org] = self._clock(), count
            return count


@dataclass(frozen=True)
class OrgQuota:
    """The limits of each org; those that are None do not apply."""

    sessions: SessionQuota | None = None
    joins: JoinQuota | None = None
    starts: RequestRates | None = None

    @asynccontextmanager
    async def reservation(self, key: SessionKey) -> AsyncGenerator[bool]:
        """Count the session that is started in the block, and reserve its slot.

        Yields:
            Whether the session holds a slot, which it has to free when it ends.

        Raises:
            TooManyRequests: the org has reached one of its limits.
            Unavailable: Temporal does not answer.
        """
        if self.joins:
            await self.joins.take(key)
        async with AsyncExitStack() as stack:
            if self.sessions is None:
                yield False
            else:
                yield await stack.enter_async_context(self.sessions.reservation(key))

    def take_start(self, org: str) -> None:
        """Count a request to start a session, before anything is done for it.

        Raises:
            TooManyRequests: it comes too soon after the org's last ones.
        """
        if self.starts:
            self.starts.take(org)
