"""Callers of whom no webhook tells: the room is checked before their absence ends a call."""

from domain.sessions.end_reasons import ReportEnd
from tests.waiting import eventually
from tests.workflows.calls import Call, Studio
from tests.workflows.evidence import activities_scheduled, in_order
from tests.workflows.scenes import beside_the_others, takes_long


async def _until_checked(call: Call, times: int) -> None:
    """Wait until the room was checked so many times more."""
    rooms = call.studio.rooms
    enough = rooms.count("participants", call.room) + times
    await eventually(
        lambda: rooms.count("participants", call.room) >= enough, 60, f"{times} more checks"
    )


@beside_the_others
async def test_a_caller_of_whom_no_webhook_tells_is_found_before_the_call_ends(
    studio: Studio,
) -> None:
    call = await studio.call(caller_wait=1).live(with_caller=False)
    call.caller_comes()

    found = await call.until("the caller is found", lambda status: status.caller_present)
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    closed = await call.closed()

    assert (found.state, found.waiting_for) == ("live", "call_end")
    assert closed.ended == ("completed", "agent_ended")
    assert in_order(
        closed.told, "caller caller is in the room", "no LiveKit webhook had reported it"
    )


@beside_the_others
@takes_long
async def test_a_caller_who_was_found_is_missed_as_well(studio: Studio) -> None:
    call = await studio.call(caller_wait=1).live(with_caller=False)
    call.caller_comes()
    await call.until("the caller is found", lambda status: status.caller_present)
    call.caller_goes()

    closed = await call.closed()

    assert closed.ended == ("completed", "caller_left")
    assert in_order(
        closed.told,
        "caller caller is in the room",
        "is not in the room any more",
        "the caller left",
    )


@beside_the_others
@takes_long
async def test_a_leave_of_which_no_webhook_tells_ends_the_call(studio: Studio) -> None:
    call = await studio.call().live()
    call.caller_goes()

    closed = await call.closed()

    assert closed.ended == ("completed", "caller_left")


@beside_the_others
async def test_a_return_of_which_no_webhook_tells_is_a_return(studio: Studio) -> None:
    call = await studio.call().live()
    await call.caller_leaves()
    call.caller_comes("PA_after_reload")

    await call.until("is missed", lambda status: status.waiting_for == "caller_return")
    await call.until("is back", lambda status: status.waiting_for == "call_end")
    await call.end()

    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
@takes_long
async def test_checks_write_no_history_while_the_caller_stays(studio: Studio) -> None:
    call = await studio.call().live()
    await _until_checked(call, 3)
    await call.end()

    closed = await call.closed()

    assert activities_scheduled(closed.history)["look_for_callers"] == 1
    assert closed.ended == ("completed", "end_requested")


@beside_the_others
async def test_a_caller_who_is_not_there_is_missed_after_one_check(studio: Studio) -> None:
    call = await studio.call(caller_wait=1).live(with_caller=False)

    closed = await call.closed()

    assert activities_scheduled(closed.history)["look_for_callers"] == 1
    assert closed.ended == ("caller_never_joined", "caller_never_joined")


@beside_the_others
async def test_a_caller_is_not_missed_in_a_room_that_is_lost(studio: Studio) -> None:
    call = await studio.call(caller_return=0.5, report_grace=1).live()
    await call.caller_leaves()
    del studio.rooms.rooms[call.room]
    await eventually(lambda: studio.rooms.count("exists", call.room) >= 2, 60)
    assert (await call.status()).ended_at is None
    await call.livekit_closes_the_room()

    closed = await call.closed()

    assert closed.ended == ("room_lost", "room_deleted")


@beside_the_others
async def test_nothing_is_concluded_while_livekit_says_nothing(studio: Studio) -> None:
    call = await studio.call(caller_wait=1).live(with_caller=False)
    studio.rooms.away.add(call.room)
    await _until_checked(call, 3)
    unknown = await call.status()
    call.caller_comes()
    studio.rooms.away.remove(call.room)

    await call.until("the caller is found", lambda status: status.caller_present)
    await call.end()
    closed = await call.closed()

    assert (unknown.state, unknown.waiting_for) == ("live", "caller")
    assert closed.ended == ("completed", "end_requested")


@beside_the_others
async def test_who_was_not_there_is_missed_once_livekit_answers(studio: Studio) -> None:
    call = await studio.call(caller_wait=1).live(with_caller=False)
    studio.rooms.away.add(call.room)
    await _until_checked(call, 2)
    studio.rooms.away.remove(call.room)

    closed = await call.closed()

    assert closed.ended == ("caller_never_joined", "caller_never_joined")


@beside_the_others
async def test_the_maximum_duration_waits_for_no_check(studio: Studio) -> None:
    call = await studio.call(caller_wait=1, max_duration=4).live(with_caller=False)
    studio.rooms.away.add(call.room)
    await call.until("over", lambda status: status.end_reason is not None)
    studio.rooms.away.remove(call.room)

    assert (await call.closed()).ended == ("completed", "max_duration")


@beside_the_others
@takes_long
async def test_the_agents_word_decides_while_livekit_says_nothing(studio: Studio) -> None:
    call = await studio.call(caller_wait=1).live(with_caller=False)
    studio.rooms.away.add(call.room)
    studio.archive.agent_servers.said[call.key] = "PA_caller"
    await call.until("the agent sees the caller", lambda status: status.caller_present)
    await _until_checked(call, 2)
    with_caller = await call.status()
    studio.archive.agent_servers.said[call.key] = ""
    await call.until("the caller has left", lambda status: status.end_reason is not None)
    studio.rooms.away.remove(call.room)

    closed = await call.closed()

    assert with_caller.caller_present
    assert closed.ended == ("completed", "caller_left")


@beside_the_others
@takes_long
async def test_whom_the_agent_sees_is_there_although_livekit_lists_nobody(studio: Studio) -> None:
    call = await studio.call().live()
    studio.archive.agent_servers.said[call.key] = "PA_caller"
    call.caller_goes()
    await _until_checked(call, 2)
    status = await call.status()
    await call.end()

    assert status.caller_present
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_a_caller_who_speaks_was_there_whoever_lists_nobody(studio: Studio) -> None:
    call = await studio.call(caller_wait=1, caller_return=2).live(with_caller=False)
    await call.says("Hello", "Is anybody there?")

    closed = await call.closed()

    assert closed.ended == ("completed", "caller_left")
    assert in_order(closed.told, "the caller has spoken", "ending: the caller left")
    assert activities_scheduled(closed.history)["look_for_callers"] == 2


@beside_the_others
async def test_without_mongodb_livekits_word_decides(studio: Studio) -> None:
    call = await studio.call(caller_wait=1, archive=False).live(with_caller=False)
    call.caller_comes()
    await call.until("the caller is found", lambda status: status.caller_present)
    await call.end()

    assert (await call.closed()).ended == ("completed", "end_requested")
