"""Find a session by its room, and ask for its end."""

from api.dependencies import Services, require_session
from domain.errors import NotFound
from domain.ids import SessionKey, livekit_room_name, local_room_name
from domain.messages import EndRequest
from domain.rooms import owner_of_room


async def session_of_room(wired: Services, org: str, room_name: str) -> SessionKey:
    """The session that a room belongs to; `room_name` in either form of `GivenRoomName`.

    Raises:
        NotFound: no session of this org has, or had, such a room.
    """
    room = livekit_room_name(org, local_room_name(org, room_name))
    if room.count(".") > 1:
        # Another org's room: there is none of that name here.
        raise NotFound(f"there is no session in room {room_name}", field="roomName")
    for found in await wired.rooms.list_rooms([room]):
        owner = owner_of_room(found.metadata)
        if owner and owner.org == org:
            return owner
    key = await wired.workflows.find_by_room(org, room)
    if key is None:
        raise NotFound(f"there is no session in room {room_name}", field="roomName")
    return key


async def end_session(wired: Services, key: SessionKey, event_id: str, by: str) -> bool:
    """Ask a session to end; False if it is closed already.

    Raises:
        NotFound: there is no such session in this org.
    """
    if await wired.workflows.signal(key, EndRequest(event_id=event_id, by=by)):
        return True
    await require_session(wired, key)
    return False
