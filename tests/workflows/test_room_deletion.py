"""Rooms that LiveKit does not delete: tried again for as long as it takes, with little noise."""

import dataclasses

import pytest
import structlog
from temporalio.testing import ActivityEnvironment

from activities.rooms import FREQUENT_TRIES, RARE_TRY_SECONDS, DeleteRoom, RoomActivities
from domain.errors import Unavailable
from domain.ids import SessionKey
from domain.sessions.rooms import room_metadata
from tests.fakes.installation import INSTALLATION
from tests.fakes.rooms import FakeRooms, Fault

KEY = SessionKey("acme", "call-1")
ROOM = "acme.call-1"


async def refused(tries: int, *, insist: bool = True) -> Unavailable:
    """What the activity raises at one of its tries, if LiveKit does not delete the room."""
    rooms = FakeRooms()
    await rooms.create(ROOM, room_metadata(KEY, INSTALLATION), 60, 60)
    rooms.faults["delete", ROOM].append(Fault.AWAY)
    order = DeleteRoom(org=KEY.org, session_id=KEY.session_id, livekit_room=ROOM, insist=insist)
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, attempt=tries)
    with pytest.raises(Unavailable) as refusal:
        await environment.run(RoomActivities(rooms, INSTALLATION).delete_room, order)
    assert ROOM in rooms.rooms
    return refusal.value


async def test_a_room_that_is_refused_for_long_is_tried_rarely() -> None:
    pauses = [(await refused(tries)).retry_after for tries in (1, FREQUENT_TRIES)]

    assert pauses == [None, RARE_TRY_SECONDS]
    assert (await refused(FREQUENT_TRIES, insist=False)).retry_after is None


async def test_a_refused_room_is_logged_now_and_then() -> None:
    with structlog.testing.capture_logs() as logged:
        for tries in range(1, 33):
            await refused(tries)

    assert [line["tries"] for line in logged] == [1, 2, 4, 8, 16, 32]
    assert {line["room"] for line in logged} == {ROOM}
