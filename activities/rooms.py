"""Open and delete a session's room."""

import structlog
from pydantic import BaseModel
from temporalio import activity

from activities.dispatch import owner_of_dispatch
from domain.errors import EverlineError, RoomNameTaken, Unavailable
from domain.ids import SessionKey
from domain.sessions.ports import Room, Rooms
from domain.sessions.rooms import owner_of_room, room_metadata

log = structlog.get_logger()

FREQUENT_TRIES = 20
"""Tries to delete a room, about ten minutes of them, before they become rare."""
RARE_TRY_SECONDS = 600
"""Pause between the rare ones: LiveKit may refuse for days, and logs each try."""


class OpenRoom(BaseModel):
    """A room to open for a session; times in seconds."""

    org: str
    session_id: str
    livekit_room: str
    empty_timeout: int
    departure_timeout: int

    @property
    def key(self) -> SessionKey:
        """The session that the room is for."""
        return SessionKey(self.org, self.session_id)


class DeleteRoom(BaseModel):
    """A room to delete, if it is still this session's."""

    org: str
    session_id: str
    livekit_room: str
    insist: bool = False
    """Whether a refusal by LiveKit, such as of a wrong key, is worth another try."""


class RoomActivities:
    """The room's beginning and its end."""

    def __init__(self, rooms: Rooms, installation: str) -> None:
        self._rooms = rooms
        self._installation = installation

    @activity.defn
    async def open_room(self, order: OpenRoom) -> str:
        """Create the room, idempotently; returns LiveKit's sid of it.

        Raises:
            RoomNameTaken: the room exists and is another session's; it was not touched.
        """
        existing = await self._rooms.list_rooms([order.livekit_room])
        # Looking first leaves another session's room as it is: creating would renew its time-outs.
        room = (
            existing[0]
            if existing
            else await self._rooms.create(
                order.livekit_room,
                room_metadata(order.key, self._installation),
                order.empty_timeout,
                order.departure_timeout,
            )
        )
        # LiveKit answers with the room that is there, also if somebody was faster by a moment.
        if not self._is_ours(room, order.key):
            raise RoomNameTaken(
                f"room {order.livekit_room} belongs to another session",
                field="roomName",
                cure="choose another roomName, or leave it out to get a new one",
            )
        return room.sid

    @activity.defn
    async def delete_room(self, order: DeleteRoom) -> bool:
        """Delete the room; False if it was gone already or another session owns the name now.

        Raises:
            Unavailable: LiveKit lists the room and does not delete it. Or the room is alive, but
                missing in LiveKit's list, and LiveKit refuses to delete it. Its participants were
                removed: LiveKit lists a room again when somebody leaves. Also, if the order
                insists, whatever else went wrong.
        """
        try:
            return await self._delete_room(order)
        except EverlineError as error:
            tries = activity.info().attempt
            if tries.bit_count() == 1:  # 1, 2, 4, 8 …: a room may be refused for days
                log.warning(
                    "room not deleted yet",
                    room=order.livekit_room,
                    session=order.session_id,
                    tries=tries,
                    reason=error.message,
                )
            if order.insist:
                # A failure for good would have to be repeated by the workflow, whose history grows.
                pause = RARE_TRY_SECONDS if tries >= FREQUENT_TRIES else None
                raise Unavailable(error.message, retry_after=pause) from error
            raise

    async def _delete_room(self, order: DeleteRoom) -> bool:
        room, key = order.livekit_room, SessionKey(order.org, order.session_id)
        existing = await self._rooms.list_rooms([room])
        if not existing:
            if await self._rooms.exists(room):
                await self._let_go(room, key)
                raise Unavailable(f"room {room} is alive, but not in LiveKit's list of rooms")
            return False
        owner = owner_of_room(existing[0].metadata)
        if owner is None or not owner.may_be(key, self._installation):
            return False
        deleted = await self._rooms.delete(room)
        log.info("room deleted", room=room, session=order.session_id)
        return deleted

    async def _let_go(self, room: str, key: SessionKey) -> None:
        """Remove everybody from a room without metadata, if its dispatches say that it is ours."""
        dispatches = await self._rooms.dispatches(room)
        if not any(owner_of_dispatch(dispatch.metadata) == key for dispatch in dispatches):
            return
        for participant in await self._rooms.participants(room):
            await self._rooms.remove_participant(room, participant.identity)

    def _is_ours(self, room: Room, key: SessionKey) -> bool:
        owner = owner_of_room(room.metadata)
        if owner is None or owner.key != key:
            return False
        # The first try may have been an older release's, which wrote no installation.
        again = activity.info().attempt > 1 and owner.installation is None
        return again or owner.installation == self._installation
