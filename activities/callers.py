"""Check which callers are in the room, by every source there is."""

import asyncio
from datetime import timedelta

import structlog
from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.joining import Caller, callers_among
from domain.agents.ports import CallerSigns
from domain.errors import EverlineError, StorageUnavailable, Unavailable
from domain.ids import SessionKey
from domain.sessions.ports import Rooms
from domain.transcripts.ports import TranscriptArchive

log = structlog.get_logger()

STORAGE_SECONDS = 3.0
"""How long each question to MongoDB may take: LiveKit's answer must not wait for one that hangs."""
STILL_HERE = "caller_still_here"


class LookForCallers(BaseModel):
    """The session whose callers to look for."""

    org: str
    session_id: str
    livekit_room: str
    caller_identity: str
    """The caller that our agent talks to; the agent reports on this caller only."""
    present: list[str] = []
    """Connections that are known to be in the room. While all of them are, the check is repeated;
    with none it is answered at once."""
    interval: float
    """Seconds between two checks."""

    @property
    def key(self) -> SessionKey:
        """The session."""
        return SessionKey(self.org, self.session_id)


class CallersSeen(BaseModel):
    """Who was found."""

    callers: list[Caller]
    connecting: list[Caller] = []
    """Those who are connecting: one who was there before, and reconnects, is not gone."""
    turns: int | None = None
    """How many turns of callers were stored so far, if nobody was found and MongoDB answers."""


class CallerActivities:
    """Webhooks may be lost, so the room is checked before a caller's absence ends a call."""

    def __init__(
        self, rooms: Rooms, signs: CallerSigns | None, transcripts: TranscriptArchive | None
    ) -> None:
        """Take the sources.

        Args:
            rooms: LiveKit's rooms.
            signs: what agents say of their callers; None without MongoDB.
            transcripts: the turns; None without MongoDB.
        """
        self._rooms = rooms
        self._signs = signs
        self._transcripts = transcripts

    @activity.defn
    async def look_for_callers(self, order: LookForCallers) -> CallersSeen:
        """Find the callers in the room, by LiveKit's list and by what the agent reports.

        Temporal repeats the check while nothing has changed: a retry writes no history.

        Raises:
            ApplicationError: `caller_still_here`; the next try is the next check.
            Unavailable: neither LiveKit nor the agent's server says anything: no evidence.
        """
        if order.present and activity.info().attempt == 1:
            # Whoever orders it has just learned who is there.
            raise _check_again(order)
        seen = await self._seen(order)
        callers = seen.callers
        if order.present and {caller.sid for caller in callers}.issuperset(order.present):
            raise _check_again(order)
        log.info(
            "caller check",
            room=order.livekit_room,
            url=self._rooms.api_url,
            callers=[caller.identity for caller in callers],
            missing=sorted(set(order.present) - {caller.sid for caller in callers}),
        )
        if not callers:
            seen.turns = await self._turns(order.key)
        return seen

    async def _seen(self, order: LookForCallers) -> CallersSeen:
        seen_by_agent = await self._seen_by_agent(order)
        try:
            participants = await self._rooms.participants(order.livekit_room)
            listed = callers_among(participants)
            if not listed and seen_by_agent is None:
                await self._require_room(order.livekit_room)
        except EverlineError as error:
            if seen_by_agent is None:
                # Also what LiveKit refuses, such as a wrong key, is no evidence of an absence.
                raise Unavailable(error.message) from None
            return CallersSeen(callers=seen_by_agent)
        sids = {caller.sid for caller in listed}
        unlisted = [caller for caller in seen_by_agent or [] if caller.sid not in sids]
        connecting = callers_among(participants, connecting=True)
        return CallersSeen(callers=[*listed, *unlisted], connecting=connecting)

    async def _require_room(self, room: str) -> None:
        """Raise `Unavailable` if the room is missing: its empty list says nothing of the caller.

        Whether the room is lost is for the reaper and the watchdog to find out.
        """
        if not await self._rooms.exists(room):
            raise Unavailable(f"LiveKit has no room {room!r}: whether it is lost is not known yet")

    async def _seen_by_agent(self, order: LookForCallers) -> list[Caller] | None:
        """The caller whom our agent sees; None if no agent says whether it sees one."""
        if self._signs is None:
            return None
        try:
            async with asyncio.timeout(STORAGE_SECONDS):
                sid = await self._signs.caller_seen(order.key)
        except (StorageUnavailable, TimeoutError) as error:
            log.info("what the agent sees is not known", reason=str(error) or "too slow")
            return None
        if sid is None:
            return None
        return [Caller(identity=order.caller_identity, sid=sid)] if sid else []

    async def _turns(self, key: SessionKey) -> int | None:
        if self._transcripts is None:
            return None
        try:
            async with asyncio.timeout(STORAGE_SECONDS):
                return await self._transcripts.caller_turns(key)
        except (StorageUnavailable, TimeoutError) as error:
            log.info("the caller's turns are not known", reason=str(error) or "too slow")
            return None


def _check_again(order: LookForCallers) -> ApplicationError:
    return ApplicationError(
        f"the caller is in the room, as known; checked every {order.interval:g} s",
        type=STILL_HERE,
        next_retry_delay=timedelta(seconds=order.interval),
        category=ApplicationErrorCategory.BENIGN,
    )
