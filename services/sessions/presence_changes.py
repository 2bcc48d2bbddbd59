"""Tell sessions who comes and leaves, in bounded numbers however often somebody reconnects."""

import asyncio
import contextvars
from collections import OrderedDict
from collections.abc import Callable

import structlog

from domain.errors import MessageRefused, Unavailable
from domain.ids import SessionKey
from domain.sessions.messages import ParticipantChange, ParticipantChanged, ParticipantKind
from domain.sessions.ports import Sessions

log = structlog.get_logger()

AT_ONCE = 20
"""So many changes of a session are told without a pause."""
SHORTEST_PAUSE, LONGEST_PAUSE = 5.0, 1800.0
"""Seconds between two merged changes; doubled each time."""
MOST_HELD = 20
"""Changes of a session that are held back; beyond, the oldest are forgotten."""
MOST_SESSIONS = 10_000
"""Sessions that are remembered; of one that is forgotten, changes are told at once again."""


def pause_after(merged: int) -> float:
    """Seconds to hold changes back, after so many merged ones of a session."""
    return min(SHORTEST_PAUSE * 2.0**merged, LONGEST_PAUSE)


class PresenceChanges:
    """Passes on a session's first changes at once, and merges further ones.

    Each signal adds events to a history, of which Temporal takes a limited number. Nothing depends
    on a change that comes late, or is lost with this process: a session checks its room itself.
    """

    def __init__(self, sessions: Sessions, pause: Callable[[int], float] = pause_after) -> None:
        self._sessions = sessions
        self._pause = pause
        self._told: OrderedDict[SessionKey, _Told] = OrderedDict()
        self._flushes: set[asyncio.Task[None]] = set()

    async def tell(self, key: SessionKey, change: ParticipantChanged) -> bool:
        """Tell a session of a change, now or merged with others.

        Returns:
            False if it is closed, or takes no message.

        Raises:
            Unavailable: Temporal is down.
        """
        if change.change is ParticipantChange.ROOM_FINISHED:
            self._told.pop(key, None)
            return await self._signal(key, change)
        if change.kind is ParticipantKind.AGENT:
            # A session learns of an external agent's end by this alone. Agents come by dispatches,
            # of which a session makes a limited number.
            return await self._signal(key, change)
        told = self._told.setdefault(key, _Told())
        self._told.move_to_end(key)
        if len(self._told) > MOST_SESSIONS:
            self._told.popitem(last=False)
        if told.sent < AT_ONCE:
            forwarded = await self._signal(key, change)
            told.note(change)
            return forwarded
        told.hold(change)
        if not told.flushing:
            told.flushing = True
            # It outlives the request, so it must not inherit that request's log fields.
            flush = asyncio.create_task(self._flush(key, told), context=contextvars.Context())
            self._flushes.add(flush)
            flush.add_done_callback(self._flushes.discard)
        return True

    async def aclose(self) -> None:
        """Stop; changes that are held back are lost."""
        for flush in self._flushes:
            flush.cancel()
        await asyncio.gather(*self._flushes, return_exceptions=True)

    async def _signal(self, key: SessionKey, change: ParticipantChanged) -> bool:
        try:
            return await self._sessions.signal(key, change)
        except MessageRefused as error:
            # LiveKit would send the webhook again, and hold up those of other rooms.
            log.warning("presence change refused", session=key.session_id, reason=error.message)
            return False

    async def _flush(self, key: SessionKey, told: "_Told") -> None:
        await asyncio.sleep(self._pause(told.merged))
        told.merged += 1
        told.flushing = False
        for change in told.take():
            try:
                await self._signal(key, change)
            except Unavailable as error:
                log.warning("merged presence change not told", reason=error.message)
                return
            told.note(change)


class _Told:
    """What a session was told of its participants, and what is held back."""

    def __init__(self) -> None:
        self.sent = 0
        self.merged = 0
        self.flushing = False
        self._identities: set[str | None] = set()
        self._held: dict[tuple[str | None, str | None], ParticipantChanged] = {}

    def note(self, change: ParticipantChanged) -> None:
        self.sent += 1
        self._identities.add(change.identity)

    def hold(self, change: ParticipantChanged) -> None:
        connection = (change.identity, change.sid)
        held = self._held.get(connection)
        if change.change is not ParticipantChange.LEFT:
            # One that LiveKit has ended never lives again, whatever order the events have.
            self._held.setdefault(connection, change)
        elif held is None or change.identity not in self._identities:
            self._held[connection] = change
        elif held.change is ParticipantChange.JOINED:
            # The session never knew of this connection of somebody whom it knows.
            del self._held[connection]
        if len(self._held) > MOST_HELD:
            del self._held[next(iter(self._held))]

    def take(self) -> list[ParticipantChanged]:
        changes, self._held = list(self._held.values()), {}
        return changes
