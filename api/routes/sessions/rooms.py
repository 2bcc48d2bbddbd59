"""Find a session by its room."""

from api.dependencies import Services
from domain.errors import NotFound
from domain.ids import SessionKey, livekit_room_name, local_room_name, org_of_room
from domain.sessions.rooms import RoomOwner, owner_of_room


async def session_of_room(wired: Services, org: str, room_name: str) -> SessionKey:
    """The session that a room of an org belongs to; `room_name` in either form of `GivenRoomName`.

    Raises:
        NotFound: no session of this org has, or had, such a room.
    """
    room = livekit_room_name(org, local_room_name(org, room_name))
    key = await session_in_room(wired, room)
    if key is None:
        raise NotFound(f"there is no session in room {room_name}", field="roomName")
    return key


async def session_in_room(wired: Services, livekit_room: str) -> SessionKey | None:
    """The session that has, or had, a room, by LiveKit's name of it; None if there is none.

    The name says whose room it is: what else claims to be its owner is not believed.
    """
    org = org_of_room(livekit_room)
    if org is None:
        return None
    for found in await wired.rooms.list_rooms([livekit_room]):
        owner = owner_of_room(found.metadata)
        if owner and owner.key.org == org and not await of_another_installation(wired, owner):
            return owner.key
    return await wired.workflows.find_by_room(org, livekit_room)


async def of_another_installation(wired: Services, owner: RoomOwner) -> bool:
    """Whether a room was opened by another installation; one that says nothing may be ours.

    Raises:
        Unavailable: Temporal, which knows our id, does not answer.
    """
    return owner.installation not in (None, await wired.installation.id())
