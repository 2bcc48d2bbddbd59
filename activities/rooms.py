"""Open and delete a session's room."""

import structlog
from pydantic import BaseModel
from temporalio import activity

from domain.errors import RoomNameTaken
from domain.ids import SessionKey
from domain.ports import Rooms
from domain.rooms import owner_of_room, room_metadata

log = structlog.get_logger()


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


class RoomActivities:
    """The room's beginning and its end."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

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
                room_metadata(order.key),
                order.empty_timeout,
                order.departure_timeout,
            )
        )
        # LiveKit answers with the room that is there, also if somebody was faster by a moment.
        if owner_of_room(room.metadata) != order.key:
            raise RoomNameTaken(
                f"room {order.livekit_room} belongs to another session",
                field="roomName",
                cure="choose another roomName, or leave it out to get a new one",
            )
        return room.sid

    @activity.defn
    async def delete_room(self, order: DeleteRoom) -> bool:
        """Delete the room; False if it was gone already or another session owns the name now."""
        existing = await self._rooms.list_rooms([order.livekit_room])
        key = SessionKey(order.org, order.session_id)
        if not existing or owner_of_room(existing[0].metadata) != key:
            return False
        deleted = await self._rooms.delete(order.livekit_room)
        log.info("room deleted", room=order.livekit_room, session=order.session_id)
        return deleted
