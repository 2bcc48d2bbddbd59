"""The reaper: close what sessions could not close themselves.

A session deletes its room and writes its record and its transcript, whatever happens to the
processes around it. Three things prevent that: `terminate`, a restore of Temporal from a backup,
and a webhook that LiveKit lost. So the reaper compares LiveKit's rooms and the archive with the
open workflows.

Several installations may share a LiveKit server. Rooms of others, and those without an owner, are
left alone.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from pydantic import BaseModel

from domain.errors import EverlineError, Unavailable, Unreadable
from domain.ids import SessionKey
from domain.sessions.ports import Room, Rooms, SessionDirectory, SessionRecords
from domain.sessions.rooms import owner_of_room
from domain.sessions.session import SessionState, SessionStatus, closed_from_outside
from domain.transcripts.ports import ArchiveRuns
from services.access.quotas import SlotSweep
from services.sessions.missing_rooms import MissingRooms

log = structlog.get_logger()

MOST_RECORDS = 500
"""Records checked in one sweep; the next sweep continues after them."""


class Swept(BaseModel):
    """What one sweep found and closed."""

    rooms_deleted: int = 0
    """Rooms of ours without an open workflow."""
    rooms_refused: int = 0
    """Such rooms that LiveKit did not delete; the next sweep tries again."""
    rooms_missed: int = 0
    """Sessions that were told that their room was deleted."""
    records_closed: int = 0
    """Records of closed workflows that were missing or not terminal."""
    slots_freed: int = 0
    """Slots of sessions that are over."""
    not_done: list[str] = []
    """What could not be checked, and why; the next sweep tries again."""


@contextmanager
def _part(swept: Swept, what: str) -> Generator[None]:
    """Note that a part of a sweep is impossible now; it must not keep the others."""
    try:
        yield
    except EverlineError as error:
        swept.not_done.append(f"{what}: {error.message}")


@dataclass
class Reaper:
    """Sweeps on a Temporal schedule; each sweep is idempotent."""

    rooms: Rooms
    installation: str
    """Only this installation's rooms are deleted."""
    missing: MissingRooms
    directory: SessionDirectory
    archive: SessionRecords | None
    """None without MongoDB, as are the slots."""
    slots: SlotSweep | None = None
    records_at_once: int = MOST_RECORDS
    archives: ArchiveRuns | None = None
    """Seals and summarises the transcripts of sessions whose records it closes."""
    _after: str | None = field(default=None, init=False)
    _refused: frozenset[str] = field(default=frozenset(), init=False)
    """The rooms that LiveKit did not delete in the last sweep."""

    async def sweep(self) -> Swept:
        """Run one sweep; what LiveKit, Temporal or MongoDB does not allow now is named."""
        swept = Swept()
        try:
            live = await self.directory.live_sessions()
        except EverlineError as error:
            swept.not_done.append(f"nothing was compared: {error.message}")
            return swept
        slots, archive = self.slots, self.archive
        if slots:
            with _part(swept, "slots"):
                swept.slots_freed = await slots.sweep(set(live))
        with _part(swept, "rooms"):
            await self._compare_rooms(live, swept)
        if archive:
            with _part(swept, "terminated sessions"):
                swept.records_closed = await self._record_cut_short(archive)
            with _part(swept, "open records"):
                swept.records_closed += await self._close_records(archive, live)
        return swept

    async def compare_rooms(self) -> Swept:
        """Check only the rooms; the watchdog does so between sweeps.

        Raises:
            Unavailable: LiveKit or Temporal does not answer.
        """
        swept = Swept()
        await self._compare_rooms(await self.directory.live_sessions(), swept)
        return swept

    async def _compare_rooms(self, live: dict[SessionKey, str], swept: Swept) -> None:
        # After the sessions: a room that is missing from this list was missing all the time.
        rooms = {room.name: room for room in await self.rooms.list_rooms()}
        # First, because the check of missing rooms may take time.
        refused: set[str] = set()
        for room in rooms.values():
            if not await self._is_orphan(room, live):
                continue
            try:
                swept.rooms_deleted += await self.rooms.delete(room.name)
            except Unavailable as error:
                # One room that LiveKit cannot delete must not keep the others.
                refused.add(room.name)
                if room.name not in self._refused:
                    log.warning("orphaned room not deleted", room=room.name, reason=error.message)
        self._refused = frozenset(refused)
        swept.rooms_refused = len(refused)
        suspects = {key: name for key, name in live.items() if not self._has(rooms.get(name), key)}
        for key in await self.missing.gone(suspects):
            await self.directory.tell_room_is_gone(key)
            swept.rooms_missed += 1

    def _has(self, room: Room | None, key: SessionKey) -> bool:
        owner = owner_of_room(room.metadata) if room else None
        return owner is not None and owner.may_be(key, self.installation)

    async def _is_orphan(self, room: Room, live: dict[SessionKey, str]) -> bool:
        owner = owner_of_room(room.metadata)
        if owner is None or owner.installation != self.installation or owner.key in live:
            return False
        if not room.name.startswith(f"{owner.key.org}."):
            return False
        return not await self.directory.is_open(owner.key)

    async def _record_cut_short(self, archive: SessionRecords) -> int:
        """Close the records of recently terminated sessions, however many others are open.

        A session that was terminated before its agent joined has no record yet.
        """
        closed = 0
        for status in await self.directory.closed_from_outside():
            try:
                known = await archive.get(SessionKey(status.org, status.session_id))
            except Unreadable:  # the record exists, and the error is logged
                continue
            if known is None or known.state is not SessionState.CLOSED:
                last = known or status
                # The record may be older than what Temporal shows.
                last = last.model_copy(update={"attempt": max(last.attempt, status.attempt)})
                closed += await self._close_record(archive, last, status.closed_at)
        return closed

    async def _close_records(self, archive: SessionRecords, live: dict[SessionKey, str]) -> int:
        """Check the next open records, for workflows that Temporal no longer lists."""
        page = await archive.not_closed(self.records_at_once, self._after)
        # Advance first: a record that fails must not block the others.
        self._after = page.next
        closed = 0
        for status in page.items:
            if SessionKey(status.org, status.session_id) not in live:
                closed += await self._close_record(archive, status)
        return closed

    async def _close_record(
        self, archive: SessionRecords, status: SessionStatus, closed_at: datetime | None = None
    ) -> bool:
        if await self.directory.is_open(SessionKey(status.org, status.session_id)):
            return False
        # First: a closed record is not visited again.
        if self.archives:
            await self.archives.start(status)
        room = status.room_name
        deleted = {"room_deleted": not (room and await self.rooms.exists(room))}
        await archive.record(closed_from_outside(status, closed_at).model_copy(update=deleted))
        return True
