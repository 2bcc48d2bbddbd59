"""Per-org limit of concurrent sessions, counted exactly.

With MongoDB, each session claims a slot before its workflow starts and frees it when it ends. Slots
are numbered and each number is claimed once, so there are never more sessions than numbers. The
slot of a terminated session is freed by the reaper, or earlier by a start that would be refused
because of it. Without MongoDB, Temporal's list counts.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from domain.access.ports import AllSlots, SessionLives, Slots
from domain.access.quotas import Life, Slot
from domain.errors import (
    Conflict,
    NoCapacity,
    SessionQuotaExceeded,
    StorageUnavailable,
    Unavailable,
)
from domain.ids import SessionKey

log = structlog.get_logger()

RETRY_SECONDS = 5
"""Retry-After of a refused start, seconds."""
CHECKS_AT_ONCE = 20
"""Concurrent requests to Temporal while the slots of an org at its limit are checked."""
AWAY_SECONDS = 5.0
"""How long MongoDB is not asked again after it did not answer: each start would wait for it."""
MOST_SLOTS = 5_000
"""Slots checked in one sweep; the next sweep continues after them."""


class SessionQuota:
    """Reserves a slot for each start."""

    def __init__(self, limit: int, slots: Slots | None, lives: SessionLives) -> None:
        """Use a limit of 1 or more; `slots` is None without MongoDB."""
        self._checks: defaultdict[str, _Checks] = defaultdict(_Checks)
        self._limit = limit
        self._slots = slots
        self._lives = lives
        self._count = _OpenSessions(lives)
        self._away_until = -math.inf

    @asynccontextmanager
    async def reservation(self, key: SessionKey) -> AsyncGenerator[bool]:
        """Reserve a slot for the session that is started in the block; a retry reuses it.

        Yields:
            Whether the session holds a slot, which it has to free when it ends.

        Raises:
            SessionQuotaExceeded: the org has the maximum number of open sessions.
            Unavailable: Temporal does not answer.
        """
        holds_slot = await self._claim(key)
        try:
            yield holds_slot
        except (Conflict, NoCapacity):
            await self._release(key)
            raise
        finally:
            self._count.settle(key)

    async def _claim(self, key: SessionKey) -> bool:
        if self._slots and time.monotonic() >= self._away_until:
            try:
                return await self._claim_slot(self._slots, key)
            except StorageUnavailable as error:
                self._away_until = time.monotonic() + AWAY_SECONDS
                # Sessions start while MongoDB is away; the count is then as good as Temporal's.
                log.warning("slots cannot be counted", org=key.org, reason=error.message)
        if not await self._count.admit(key, self._limit):
            raise self._exceeded()
        return False

    async def _claim_slot(self, slots: Slots, key: SessionKey) -> bool:
        if await slots.claim(key, self._limit):
            return True
        if await self._lives.life(key) is not Life.UNKNOWN:
            return False  # The session exists, and its start will find it.
        if await self._claim_ended(slots, key):
            return True
        raise self._exceeded()

    async def _claim_ended(self, slots: Slots, key: SessionKey) -> bool:
        """Claim the slot of an ended session that could not free it; one check at a time per org.

        A check asks Temporal about every slot of the org, so all waiting starts share the first
        check that begins after they arrived.
        """
        checks = self._checks[key.org]
        before = checks.begun
        async with checks.lock:
            # The check of another start may have freed a slot while this one waited.
            if await slots.claim(key, self._limit):
                return True
            if checks.begun > before:
                return False
            checks.begun += 1
            await self._free_ended(slots, key.org)
            return await slots.claim(key, self._limit)

    async def _free_ended(self, slots: Slots, org: str) -> None:
        gate = asyncio.Semaphore(CHECKS_AT_ONCE)

        async def check(slot: Slot) -> None:
            async with gate:
                if await self._lives.life(slot.key) is Life.ENDED:
                    await slots.free(slot.key)

        await asyncio.gather(*(check(slot) for slot in await slots.taken(org)))

    async def _release(self, key: SessionKey) -> None:
        """Free the slot of a refused start, unless a session with this id is running."""
        if self._slots is None:
            return
        try:
            if await self._lives.life(key) is not Life.OPEN:
                await self._slots.free(key)
        except Unavailable as error:
            log.warning("slot is left to the reaper", org=key.org, reason=error.message)

    def _exceeded(self) -> SessionQuotaExceeded:
        return SessionQuotaExceeded(
            f"the org has reached its limit of {self._limit} open sessions",
            retry_after=RETRY_SECONDS,
            cure="end a session, or raise EVERLINE_MAX_SESSIONS_PER_ORG",
        )


@dataclass
class _Checks:
    """The checks of one org's slots."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    begun: int = 0


LISTED_SECONDS = 2.0
"""How long Temporal's list of an org that is far from its limit serves all its starts."""


class _OpenSessions:
    """Counts Temporal's list, which lags, and what this process has just admitted."""

    def __init__(self, lives: SessionLives) -> None:
        self._lives = lives
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._listed: dict[str, tuple[float, set[str]]] = {}
        """By org: when Temporal's list was read last, and what it had."""
        self._admitted: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        """By org: sessions that the list may not show yet, and whether they are being started."""

    async def admit(self, key: SessionKey, limit: int) -> bool:
        """Whether the session may start; if so, it counts from now on."""
        async with self._locks[key.org]:
            admitted = self._admitted[key.org]
            at, listed = self._listed.get(key.org, (-math.inf, set[str]()))
            far_from_it = len(listed | admitted.keys()) < limit // 2
            if time.monotonic() - at >= LISTED_SECONDS or not far_from_it:
                listed = await self._lives.open_ids(key.org)
                self._listed[key.org] = time.monotonic(), listed
            for known in listed & admitted.keys():
                del admitted[known]
            if key.session_id in listed or key.session_id in admitted:
                return True
            counted = listed | admitted.keys()
            if len(counted) >= limit:
                if await self._lives.life(key) is not Life.UNKNOWN:
                    return True
                if await self._really_open(key.org, counted) >= limit:
                    return False
            admitted[key.session_id] = True
            return True

    def settle(self, key: SessionKey) -> None:
        """The start has finished, successfully or not."""
        admitted = self._admitted.get(key.org, {})
        if key.session_id in admitted:
            admitted[key.session_id] = False

    async def _really_open(self, org: str, counted: set[str]) -> int:
        admitted = self._admitted[org]
        really = 0
        for session_id in counted:
            life = await self._lives.life(SessionKey(org, session_id))
            being_started = admitted.get(session_id, False)
            if life is Life.OPEN or (life is Life.UNKNOWN and being_started):
                really += 1
            else:
                admitted.pop(session_id, None)
        return really


@dataclass
class SlotSweep:
    """Frees slots that their sessions could not free; called by the reaper."""

    slots: AllSlots
    lives: SessionLives
    at_once: int = MOST_SLOTS
    _after: str | None = field(default=None, init=False)

    async def sweep(self, known_open: set[SessionKey]) -> int:
        """Free the next slots that have no open workflow; returns how many.

        Each sweep continues where the previous one stopped, and wraps around after the last slot.
        The sessions in `known_open` are not checked.

        Raises:
            Unavailable: Temporal or MongoDB does not answer; the next sweep continues.
        """
        freed = 0
        page = await self.slots.every(self.at_once, self._after)
        # Advance first: a slot that fails must not block the others.
        self._after = page.next
        for slot in page.items:
            if slot.key in known_open:
                continue
            life = await self.lives.life(slot.key)
            if life is Life.ENDED:
                freed += await self.slots.free(slot.key)
            # Freed at the second sweep only: a start may be between its slot and its workflow.
            elif life is Life.UNKNOWN and slot.doubted:
                freed += await self.slots.free_doubted(slot)
            elif life is Life.UNKNOWN:
                await self.slots.doubt(slot)
        return freed
