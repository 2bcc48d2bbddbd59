"""A room that LiveKit lists and does not delete: never taken for deleted."""

import pytest

from adapters.livekit.rooms import LiveKitRooms
from domain.errors import Unavailable
from tests.fakes.room_service import RoomService

ROOM = "acme.call-1"
NO_SUCH_ROOM = (404, "not_found", "requested room does not exist")
NO_NODE = (500, "unknown", "could not find object")


@pytest.mark.parametrize("refusals", [[NO_SUCH_ROOM], [NO_NODE, NO_SUCH_ROOM], [NO_NODE, NO_NODE]])
async def test_a_listed_room_that_livekit_does_not_delete_is_an_outage(
    refusals: list[tuple[int, str, str]],
) -> None:
    async with RoomService(ROOM, [*refusals]) as livekit, rooms_of(livekit) as rooms:
        with pytest.raises(Unavailable, match="did not delete a room"):
            await rooms.delete(ROOM)

        assert await rooms.delete(ROOM), "the next try"
        assert not await rooms.list_rooms([ROOM])


async def test_a_room_whose_node_is_lost_is_deleted_at_once() -> None:
    async with RoomService(ROOM, [NO_NODE]) as livekit, rooms_of(livekit) as rooms:
        assert await rooms.delete(ROOM)

        assert livekit.requests == ["DeleteRoom", "CreateRoom", "DeleteRoom"]


def rooms_of(livekit: RoomService) -> LiveKitRooms:
    return LiveKitRooms(livekit.url, "key", "s" * 32)
