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
    Capacity,
    Claim,
    Place,
    PlaceState,
    Waiting,
    capacity,
    expected_wait,
    in_turn,
    in_use_by,
)
from domain.agents.ports import AgentServers, Places
from domain.agents.servers import MORE_PLACES, SILENT_AFTER, AgentServer, is_alive
from domain.errors import EverlineError, NoCapacity, StorageUnavailable, Unavailable
from domain.ids import SessionKey
from domain.sessions.messages import PlaceChanged
from domain.sessions.ports import Sessions
from domain.sessions.session import SessionInput

log = structlog.get_logger()

RETRY_SECONDS = 5
"""Retry-After of a refused start if nobody knows how soon a place is released."""
TOLD_EVERY = 2.0
"""Seconds between two messages to a session about its position."""
CHECKED_AFTER = timedelta(seconds=5)
"""How old a place without an agent is when its session is looked for."""
STARTED_WITHIN = timedelta(seconds=60)
"""How long a start may take from its place to its workflow."""
AT_ONCE = 20
"""Requests to Temporal at the same time."""
ADMIT_SECONDS = 1.5
"""How long MongoDB may take to give a start its place, or to refuse it."""
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
class _Known:
    """What was read of an agent name at a time (monotonic, and by the clock), with later claims."""

    read_at: float
    at: datetime
    places: list[Place]
    queue: list[Waiting]
    releases: list[datetime]
    servers: list[AgentServer]


@dataclass
class Admission:
    """Reserves places for sessions that start, and serves the queue."""

    servers: AgentServers
    places: Places
    sessions: Sessions
    lives: SessionLives
    admit_seconds: float = ADMIT_SECONDS
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    """One decision at a time; places are numbered, so other processes cannot take them twice."""
    _away_until: float = field(default=0.0, init=False)
    """Until then, MongoDB is believed to be away."""
    _told: dict[SessionKey, tuple[int, float]] = field(
        default_factory=dict[SessionKey, tuple[int, float]], init=False
    )
    """Positions that sessions were told, and when."""
    _last_known: "dict[str, _Known]" = field(default_factory=dict[str, "_Known"], init=False)
    """What was read last, by agent name."""
    _messages: "count[int]" = field(default_factory=lambda: count(1), init=False)

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
        except Unavailable:
            # It may have been started all the same; if not, `release_unused` finds out.
            raise
        except EverlineError:
            if admitted.state and not admitted.again:
                await self._withdraw(key)
            raise

    async def admit(self, key: SessionKey, agent_name: str, queue_seconds: float) -> Admitted:
        """Reserve a place, or enter the queue; safe to repeat.

        Raises:
            NoCapacity: there is no place, and none is expected within so many seconds.
        """
        arrived = time.monotonic()
        try:
            async with self._lock:
                # Those who waited for the lock do not wait for MongoDB as well, one by one.
                if time.monotonic() < self._away_until:
                    return Admitted(None)
                async with asyncio.timeout(self.admit_seconds):
                    known = await self._known(agent_name, arrived)
                    return await self._admit(key, agent_name, queue_seconds, known)
        except NoCapacity:
            if await self.lives.life(key) is not Life.UNKNOWN:
                # It exists, and its start will find it.
                return Admitted(None)
            raise
        except (StorageUnavailable, TimeoutError) as error:
            # Sessions start while MongoDB is away; there is no queue then.
            reason = str(error) or "MongoDB does not answer in time"
            log.warning("no place is reserved", org=key.org, reason=reason)
            self._away_until = time.monotonic() + AWAY_SECONDS
            return Admitted(None)

    async def _known(self, agent_name: str, arrived: float) -> "_Known":
        """What MongoDB has of an agent name; those that arrived before it was read share it."""
        known = self._last_known.get(agent_name)
        if known is None or known.read_at < arrived:
            read_at, now = time.monotonic(), datetime.now(UTC)
            answers = await asyncio.gather(
                self.places.of_name(agent_name),
                self._queue(agent_name),
                self.places.releases(agent_name),
                self._servers(now),
            )
            known = self._last_known[agent_name] = _Known(read_at, now, *answers)
        return known

    async def _admit(
        self, key: SessionKey, agent_name: str, queue_seconds: float, known: "_Known"
    ) -> Admitted:
        now, places, queue = known.at, known.places, known.queue
        if any(place.key == key for place in places):
            # Again, so that it is as old as this request.
            await self.places.claim(key, agent_name, len(places))
            return Admitted(PlaceState.RESERVED, again=True)
        there = capacity(known.servers, agent_name, places, now)
        again = any(waiting.key == key for waiting in queue)
        if there is None:
            return Admitted(None)
        # As many places as sessions wait are for these.
        enough = not again and there.free > len(queue)
        claim = {"agent_name": agent_name, "claimed_at": datetime.now(UTC), **key._asdict()}
        if enough and await self.places.claim(key, agent_name, len(places) + there.free):
            places.append(Place.model_validate(claim | {"number": len(places)}))
            return Admitted(PlaceState.RESERVED)
        entry = Waiting.model_validate(claim)
        order = in_turn(queue if again else [*queue, entry], places)
        position = [waiting.key for waiting in order].index(key) + 1
        ahead = position - there.free
        seconds = expected_wait(ahead, known.releases, now)
        if not again:
            if not queue_seconds or _is_hopeless(ahead, seconds, there, queue_seconds):
                raise _busy(agent_name, seconds)
            await self.places.enqueue(entry)
            queue.append(entry)
        return Admitted(PlaceState.QUEUED, position, seconds, again=again)

    async def withdraw_from(self, started: SessionInput, admitted: Admitted) -> None:
        """Give back what a repeated start has got, if its session needs no place (any more)."""
        if admitted.state is None or admitted.again:
            return
        try:
            if started.place is None or await self._has_used_its_place(started.key):
                await self.places.free(started.key)
        except EverlineError as error:
            log.warning("a place is released later", org=started.org, reason=error.message)

    async def _has_used_its_place(self, key: SessionKey) -> bool:
        """Whether a session has released its place: its call is over, or its agent external."""
        status = await self.sessions.status(key)
        return status.state.call_is_over() or status.foreign_agent

    async def _withdraw(self, key: SessionKey) -> None:
        """Release the place of a start that came to nothing, unless its session is running."""
        try:
            if await self.lives.life(key) is not Life.OPEN:
                await self.places.free(key)
        except Unavailable as error:
            log.warning("a place is released later", org=key.org, reason=error.message)

    async def claims(self, agent_name: str) -> tuple[list[Place], list[Waiting]]:
        """The places that are held under a name, and the queue for them.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        return await self.places.of_name(agent_name), await self._queue(agent_name)

    async def serve_queue(self) -> int:
        """Give the free places to those whose turn it is; returns how many got one.

        A session that cannot be told is told by the next call, and holds up no other.

        Raises:
            Unavailable: MongoDB does not answer; the next call continues.
        """
        served: list[SessionKey] = []
        moved: list[tuple[SessionKey, int, float | None]] = []
        async with self._lock:
            self._last_known.clear()
            waiting = await self.places.queue()
            self._told = {one.key: told for one in waiting if (told := self._told.get(one.key))}
            for agent_name in sorted({one.agent_name for one in waiting}):
                queue = [one for one in waiting if one.agent_name == agent_name]
                got, left = await self._give_places(agent_name, queue)
                served += got
                releases = await self.places.releases(agent_name)
                now = datetime.now(UTC)
                moved += (
                    (one.key, position, expected_wait(position, releases, now))
                    for position, one in enumerate(left, 1)
                )
        # Without the lock, which every start needs.
        gate = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(
            *(self._tell_reserved(key, gate) for key in served),
            *(
                self._tell_position(key, position, seconds, gate)
                for key, position, seconds in moved
            ),
        )
        return len(served)

    async def _give_places(
        self, agent_name: str, queue: list[Waiting]
    ) -> tuple[list[SessionKey], list[Waiting]]:
        """Those that hold a place now, and those that still wait, in their order."""
        now = datetime.now(UTC)
        places = await self.places.of_name(agent_name)
        there = capacity(await self._servers(now), agent_name, places, now)
        if there is None:
            # Their agents are dispatched, as those of starts are: whoever there is may take them.
            # They hold places all the same, so that a server that comes has no others for these.
            for more, one in enumerate(queue, 1):
                await self.places.claim(one.key, agent_name, len(places) + more)
            return [one.key for one in queue], []
        holding = {place.key for place in places}
        # Those that could not be told before, for instance because their workflow had not begun.
        served = [one.key for one in queue if one.key in holding]
        order = in_turn([one for one in queue if one.key not in holding], places)
        for one in order[: there.free]:
            if await self.places.claim(one.key, agent_name, len(places) + there.free):
                served.append(one.key)
        return served, order[there.free :]

    async def _tell_reserved(self, key: SessionKey, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                # A session leaves the queue before it releases its place: it may have left by now,
                # or another process has told it. `release_unused` takes what nobody needs.
                if not await self.places.is_waiting(key):
                    return
                if await self._tell(key, "place:0", 0):
                    await self.places.leave(key)
                elif await self.lives.life(key) is Life.ENDED:
                    await self.places.free(key)
            except Unavailable as error:
                _log_untold(key, error)

    async def _tell_position(
        self, key: SessionKey, position: int, seconds: float | None, gate: asyncio.Semaphore
    ) -> None:
        now = time.monotonic()
        last, told_at = self._told.get(key, (0, -TOLD_EVERY))
        if position == last or now - told_at < TOLD_EVERY:
            return
        event = f"place:{position}:{next(self._messages)}:{now:.0f}"
        async with gate:
            try:
                if await self._tell(key, event, position, seconds):
                    self._told[key] = position, now
            except Unavailable as error:
                _log_untold(key, error)

    async def _tell(
        self, key: SessionKey, event_id: str, position: int, seconds: float | None = None
    ) -> bool:
        message = PlaceChanged(event_id=event_id, position=position, seconds=seconds)
        return await self.sessions.signal(key, message)

    async def release_unused(self) -> int:
        """Release what sessions hold that have no workflow any more; returns how many did.

        A session releases its place itself, unless it was terminated, or its start failed when
        Temporal did not answer.

        Raises:
            Unavailable: MongoDB or Temporal does not answer; the next call continues.
        """
        now = datetime.now(UTC)
        places = await self.places.all_places()
        alive = [server for server in await self._servers(now) if is_alive(server, now)]
        in_use = in_use_by(alive, places)
        held = [*(place for place in places if place not in in_use), *await self.places.queue()]
        gate = asyncio.Semaphore(AT_ONCE)

        async def release(claim: Claim) -> bool:
            age = now - claim.claimed_at
            if age < CHECKED_AFTER:
                return False
            async with gate:
                life = await self.lives.life(claim.key)
            over = life is Life.ENDED or (life is Life.UNKNOWN and age >= STARTED_WITHIN)
            return over and await self.places.free(claim.key)

        results = await asyncio.gather(*map(release, held), return_exceptions=True)
        released = sum(result is True for result in results)
        if released:
            log.info("places of sessions without a workflow released", places=released)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return released

    async def _queue(self, agent_name: str) -> list[Waiting]:
        return [one for one in await self.places.queue() if one.agent_name == agent_name]

    async def _servers(self, now: datetime) -> list[AgentServer]:
        return await self.servers.seen_since(now - SILENT_AFTER)


def _log_untold(key: SessionKey, error: Unavailable) -> None:
    log.warning(
        "session not told about its place",
        org=key.org,
        session=key.session_id,
        reason=error.message,
    )


def _is_hopeless(ahead: int, seconds: float | None, there: Capacity, queue_seconds: float) -> bool:
    if ahead <= 0:
        return False
    return ahead > there.most_waiting if seconds is None else seconds > queue_seconds


def _busy(agent_name: str, seconds: float | None) -> NoCapacity:
    when = "" if seconds is None else f"; one is expected in about {seconds:g} s"
    return NoCapacity(
        f"no agent server named {agent_name!r} has a free place{when}",
        cure=f"{MORE_PLACES}, or raise limits.queue_seconds",
        retry_after=RETRY_SECONDS if seconds is None else max(int(seconds), 1),
    )
