"""Admit sessions to the agent servers' places, or to the queue for them.

A start reserves its place, or enters the queue, before its workflow begins, so that a start which
cannot be served in its time is refused at once. One API process serves the queue. Without MongoDB,
or while it is away, nothing is reserved: agents are dispatched as far as LiveKit finds any.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import structlog

from domain.access.ports import SessionLives
from domain.access.quotas import Life
from domain.agents.places import (
    AgentLoad,
    Capacity,
    Place,
    PlaceState,
    Waiting,
    capacity,
    expected_wait,
    in_turn,
    in_use_by,
    load_of,
)
from domain.agents.ports import AgentServers, Places
from domain.agents.servers import MORE_PLACES, AgentServer
from domain.errors import AgentsBusy, Conflict, StorageUnavailable, TooManyRequests
from domain.ids import SessionKey
from domain.sessions.messages import PlaceChanged
from domain.sessions.ports import Sessions

log = structlog.get_logger()

REMEMBERED = timedelta(minutes=2)
"""How long silent servers are known, so that operators see what went away, and starts may wait for
another one."""
RETRY_SECONDS = 5
"""Retry-After of a refused start if nobody knows how soon a place is released."""
TOLD_EVERY = 2.0
"""Seconds between two messages to a session about its position."""
CHECKED_AFTER = timedelta(seconds=5)
"""How old a place without an agent is when its session is looked for."""
STARTED_WITHIN = timedelta(seconds=60)
"""How long a start may take from its place to its workflow."""
CHECKS_AT_ONCE = 20
AWAY_SECONDS = 5.0
"""How long nothing is reserved after MongoDB did not answer."""


@dataclass(frozen=True)
class Admitted:
    """What a start has got.

    Attributes:
        state: None if the capacity is not known, and the agent is dispatched without a place.
        queue_position: from 1; None if it does not wait.
        queue_seconds: how long it may wait; None if that is not known.
        again: whether an earlier request had got it.
    """

    state: PlaceState | None
    queue_position: int | None = None
    queue_seconds: float | None = None
    again: bool = False


@dataclass
class Admission:
    """Reserves places for sessions that start, and serves the queue."""

    servers: AgentServers
    places: Places
    sessions: Sessions
    lives: SessionLives
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    """One decision at a time; places are numbered, so other processes cannot take them twice."""
    _away_until: float = field(default=0.0, init=False)
    """Until then, MongoDB is believed to be away."""
    _told: dict[SessionKey, tuple[int, float]] = field(
        default_factory=dict[SessionKey, tuple[int, float]], init=False
    )
    """Positions that sessions were told, and when."""
    _messages: "count[int]" = field(default_factory=lambda: count(1), init=False)

    async def admit(self, key: SessionKey, agent_name: str, queue_seconds: float) -> Admitted:
        """Reserve a place, or enter the queue; safe to repeat.

        Raises:
            AgentsBusy: there is no place, and none is expected within so many seconds.
        """
        async with self._lock:
            # Those who waited for the lock do not wait for MongoDB as well, one after the other.
            if time.monotonic() < self._away_until:
                return Admitted(None)
            try:
                return await self._admit(key, agent_name, queue_seconds)
            except StorageUnavailable as error:
                # Sessions start while MongoDB is away; there is no queue then.
                log.warning("no place is reserved", org=key.org, reason=error.message)
                self._away_until = time.monotonic() + AWAY_SECONDS
                return Admitted(None)

    async def _admit(self, key: SessionKey, agent_name: str, queue_seconds: float) -> Admitted:
        now = datetime.now(UTC)
        places = await self.places.of_name(agent_name)
        if any(place.key == key for place in places):
            return Admitted(PlaceState.RESERVED, again=True)
        queue = await self._queue(agent_name)
        mine = [waiting for waiting in queue if waiting.key == key]
        if not mine:
            there = capacity(await self._servers(now), agent_name, places, now)
            if there is None:
                return Admitted(None)
            limit = len(places) + there.free
            if not queue and there.free and await self.places.claim(key, agent_name, limit):
                return Admitted(PlaceState.RESERVED)
            entry = Waiting(agent_name=agent_name, claimed_at=now, **key._asdict())
            queue.append(entry)
            ahead = len(queue) - there.free
            seconds = await self._expected(ahead, agent_name)
            if not queue_seconds or _is_hopeless(ahead, seconds, there, queue_seconds):
                raise _busy(agent_name, seconds)
            await self.places.enqueue(entry)
        position = [waiting.key for waiting in in_turn(queue, places)].index(key) + 1
        seconds = await self._expected(position, agent_name)
        return Admitted(PlaceState.QUEUED, position, seconds, again=bool(mine))

    @asynccontextmanager
    async def place(
        self, key: SessionKey, agent_name: str, queue_seconds: float
    ) -> AsyncGenerator[Admitted]:
        """Admit the session that is started in the block; see `admit`.

        If the start is refused, the place is released again.
        """
        admitted = await self.admit(key, agent_name, queue_seconds)
        try:
            yield admitted
        except (Conflict, TooManyRequests):
            if admitted.state and not admitted.again:
                await self.withdraw(key)
            raise

    async def withdraw(self, key: SessionKey) -> None:
        """Release the place of a start that came to nothing."""
        try:
            await self.places.free(key)
        except StorageUnavailable as error:
            log.warning("a place is released later", org=key.org, reason=error.message)

    async def load(self, agent_name: str) -> AgentLoad:
        """How full the agent servers of a name are; `StorageUnavailable` without MongoDB."""
        now = datetime.now(UTC)
        places, queue = await self.places.of_name(agent_name), await self._queue(agent_name)
        return load_of(await self._servers(now), agent_name, places, queue, now)

    async def serve_queue(self) -> int:
        """Give the free places to those whose turn it is; returns how many got one.

        Raises:
            Unavailable: MongoDB or Temporal does not answer; the next call continues.
        """
        async with self._lock:
            waiting = await self.places.queue()
            self._told = {one.key: told for one in waiting if (told := self._told.get(one.key))}
            served = 0
            for agent_name in sorted({one.agent_name for one in waiting}):
                queue = [one for one in waiting if one.agent_name == agent_name]
                served += await self._serve(agent_name, queue)
            return served

    async def _serve(self, agent_name: str, queue: list[Waiting]) -> int:
        now = datetime.now(UTC)
        places = await self.places.of_name(agent_name)
        there = capacity(await self._servers(now), agent_name, places, now)
        # None: all its servers have been silent for long, so no place will come soon.
        free = there.free if there else 0
        holding = {place.key for place in places}
        # Those whose workflow had not begun when they got their place.
        served = [waiting for waiting in queue if waiting.key in holding]
        order = in_turn([waiting for waiting in queue if waiting.key not in holding], places)
        for waiting in order[:free]:
            if await self.places.claim(waiting.key, agent_name, len(places) + free):
                served.append(waiting)
        for waiting in served:
            await self._tell_reserved(waiting.key)
        for position, waiting in enumerate(order[free:], 1):
            await self._tell_position(waiting, position)
        return len(served)

    async def _tell_reserved(self, key: SessionKey) -> None:
        # A session leaves the queue before it releases its place: it may have left by now.
        if not await self.places.is_waiting(key):
            await self.places.free(key)
        elif await self._tell(key, "place:0", 0):
            await self.places.leave(key)
        elif await self.lives.life(key) is Life.ENDED:
            await self.places.free(key)

    async def release_unused(self) -> int:
        """Release what sessions hold that have no workflow any more; returns how many did.

        A session releases its place itself, unless it was terminated, or its start failed when
        Temporal did not answer.

        Raises:
            Unavailable: MongoDB or Temporal does not answer; the next call continues.
        """
        now = datetime.now(UTC)
        places = await self.places.all_places()
        in_use = in_use_by(await self._servers(now), places)
        held = [*(place for place in places if place not in in_use), *await self.places.queue()]
        gate = asyncio.Semaphore(CHECKS_AT_ONCE)

        async def release(claim: Place | Waiting) -> bool:
            age = now - claim.claimed_at
            if age < CHECKED_AFTER:
                return False
            async with gate:
                life = await self.lives.life(claim.key)
            over = life is Life.ENDED or (life is Life.UNKNOWN and age >= STARTED_WITHIN)
            return over and await self.places.free(claim.key)

        released = sum(await asyncio.gather(*map(release, held)))
        if released:
            log.info("places of sessions without a workflow released", places=released)
        return released

    async def _tell_position(self, waiting: Waiting, position: int) -> None:
        now = asyncio.get_running_loop().time()
        last, told_at = self._told.get(waiting.key, (0, -TOLD_EVERY))
        if position == last or now - told_at < TOLD_EVERY:
            return
        seconds = await self._expected(position, waiting.agent_name)
        event = f"place:{position}:{next(self._messages)}:{now:.0f}"
        if await self._tell(waiting.key, event, position, seconds):
            self._told[waiting.key] = position, now

    async def _tell(
        self, key: SessionKey, event_id: str, position: int, seconds: float | None = None
    ) -> bool:
        message = PlaceChanged(event_id=event_id, position=position, seconds=seconds)
        return await self.sessions.signal(key, message)

    async def _queue(self, agent_name: str) -> list[Waiting]:
        return [one for one in await self.places.queue() if one.agent_name == agent_name]

    async def _servers(self, now: datetime) -> list[AgentServer]:
        return await self.servers.seen_since(now - REMEMBERED)

    async def _expected(self, position: int, agent_name: str) -> float | None:
        return expected_wait(position, await self.places.releases(agent_name), datetime.now(UTC))


def _is_hopeless(ahead: int, seconds: float | None, there: Capacity, queue_seconds: float) -> bool:
    if ahead <= 0:
        return False
    return ahead > there.most_waiting if seconds is None else seconds > queue_seconds


def _busy(agent_name: str, seconds: float | None) -> AgentsBusy:
    when = "" if seconds is None else f"; one is expected in about {seconds:g} s"
    return AgentsBusy(
        f"no agent server named {agent_name!r} has a free place{when}",
        cure=f"{MORE_PLACES}, or raise limits.queue_seconds",
        retry_after=RETRY_SECONDS if seconds is None else max(int(seconds), 1),
    )
