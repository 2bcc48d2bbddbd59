"""LiveKit's lists have lost a room that is alive: its session goes on, and ends honestly."""

from domain.sessions.rooms import room_metadata
from tests.fakes.agents import Plays
from tests.fakes.rooms import Fault
from tests.waiting import eventually
from tests.workflows.calls import Studio
from tests.workflows.scenes import beside_the_others


@beside_the_others
async def test_a_room_that_seems_missing_at_a_dispatch_is_not_lost(studio: Studio) -> None:
    call = studio.call()
    studio.rooms.faults["dispatch", call.room].append(Fault.SEEMS_MISSING)

    await call.live()
    await call.end()

    closed = await call.closed()
    assert closed.ended == ("completed", "end_requested")
    assert studio.rooms.count("dispatch", call.room) == 2


@beside_the_others
async def test_an_agent_that_no_list_names_is_told_to_finish(studio: Studio) -> None:
    call = await studio.call().live()
    studio.rooms.unbooked.add(call.room)

    await call.end()

    closed = await call.closed()
    assert closed.ended == ("completed", "end_requested")
    assert call.crew.told == ["end_requested"]
    assert call.room not in studio.rooms.rooms


@beside_the_others
async def test_a_room_that_cannot_be_deleted_yet_is_not_forgotten(studio: Studio) -> None:
    mute = Plays(report_when_told=False, report_when_removed=False)
    call = await studio.call(mute, report_grace=0, room_deletion_wait=1).live()
    studio.rooms.join(call.room, "caller", "standard", {})
    studio.rooms.unbooked.add(call.room)

    await call.end()
    await call.until("closed", lambda status: status.closed_at is not None)

    assert call.room in studio.rooms.rooms
    studio.rooms.leave(call.room, "caller")
    await eventually(lambda: call.room not in studio.rooms.rooms, 110)
    assert (await call.closed()).ended == ("report_missing", "end_requested")


@beside_the_others
async def test_a_room_of_the_same_session_in_another_installation_is_taken(studio: Studio) -> None:
    call = studio.call()
    theirs = room_metadata(call.key, "another installation")
    await studio.rooms.create(call.room, theirs, 60, 60)

    await call.start()

    assert (await call.closed()).ended == ("failed", "room_name_taken")
    assert studio.rooms.rooms[call.room].metadata == theirs
    assert studio.rooms.count("delete", call.room) == 0
