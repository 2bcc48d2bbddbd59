"""Rooms missing from LiveKit's list: checked again before their sessions are told.

The list is kept in Redis. When Redis restarts or fails over, it can lose entries of live rooms, and
LiveKit rewrites an entry only when somebody joins or leaves. So a missing entry proves nothing,
however often it is missing.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from domain.agents.ports import SignsOfLife
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.sessions.ports import Rooms
from domain.sessions.rooms import owner_of_room

log = structlog.get_logger()

CHECKS = 2
PAUSE = 3.0
"""Seconds before each check: heartbeats come every two seconds."""
FRESH_TICK = 5.0
"""Seconds since an agent's event loop answered; one that is silent for longer is killed."""
AT_ONCE = 20
"""Rooms checked concurrently; LiveKit takes 3 s for one that is gone."""


@dataclass
class MissingRooms:
    """Tells deleted rooms from rooms that LiveKit's list has lost."""

    rooms: Rooms
    installation: str
    signs: SignsOfLife | None
    """Heartbeats of agent servers; None without MongoDB."""
    pause: float = PAUSE
    """Seconds before each check."""
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE), init=False)

    async def gone(self, suspects: Mapping[SessionKey, str]) -> list[SessionKey]:
        """The sessions whose rooms are missing at every check and whose agents send no heartbeat.

        Raises:
            Unavailable: LiveKit does not answer; nothing is known then.
        """
        missing = dict(suspects)
        heard = await self._last_heard() if missing else {}
        for _ in range(CHECKS):
            if not missing:
                break
            await asyncio.sleep(self.pause)
            before, heard = heard, await self._last_heard()
            talking = await self._talking(before, heard)
            asked = [key for key in missing if key not in talking]
            found = await asyncio.gather(*(self._shows_up(key, missing[key]) for key in asked))
            missing = {
                key: missing[key]
                for key, is_there in zip(asked, found, strict=True)
                if not is_there
            }
        if len(missing) < len(suspects):
            lost = len(suspects) - len(missing)
            log.warning("LiveKit's list has lost rooms that are alive", rooms=lost)
        return list(missing)

    async def _shows_up(self, key: SessionKey, room: str) -> bool:
        async with self._gate:
            for found in await self.rooms.list_rooms([room]):
                owner = owner_of_room(found.metadata)
                # If it is not, the name and the participants belong to another session now.
                return owner is not None and owner.may_be(key, self.installation)
            return bool(await self.rooms.participants(room)) or await self.rooms.exists(room)

    async def _last_heard(self) -> dict[str, datetime]:
        if self.signs is None:
            return {}
        try:
            return await self.signs.last_heartbeats()
        except StorageUnavailable as error:
            log.warning("missing rooms are checked without heartbeats", reason=error.message)
            return {}

    async def _talking(
        self, before: Mapping[str, datetime], now: Mapping[str, datetime]
    ) -> set[SessionKey]:
        """The sessions whose agents sent a heartbeat between two checks; no clocks are compared."""
        if self.signs is None:
            return set()
        talking: set[SessionKey] = set()
        for server_id, stamp in now.items():
            if before.get(server_id, stamp) == stamp:
                continue
            try:
                server = await self.signs.server(server_id)
            except StorageUnavailable as error:
                log.warning("missing rooms are checked without heartbeats", reason=error.message)
                return talking
            for job in server.jobs if server else ():
                if job.key and job.tick_age is not None and job.tick_age <= FRESH_TICK:
                    talking.add(job.key)
        return talking
