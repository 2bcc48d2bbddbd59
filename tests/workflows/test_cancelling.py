"""A cancel of the workflow is an end like any other: at every stage it leads through the close."""

import asyncio

from temporalio.service import RPCError, RPCStatusCode

from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import Finalise
from tests.fakes.agents import NEVER_COMES, Plays
from tests.fakes.rooms import Fault
from tests.waiting import eventually
from tests.workflows.calls import Call, Studio
from tests.workflows.scenes import beside_the_others

CANCELLED = ("cancelled", "cancelled")
MUTE = Plays(report_when_told=False, report_when_removed=False)


async def _cancelled(call: Call) -> None:
    """Twice: the second one must not break what the first one began."""
    await call.handle.cancel()
    try:
        await call.handle.cancel()
    except RPCError as error:
        # What the first one began may be over by now.
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


@beside_the_others
async def test_at_the_very_beginning(studio: Studio) -> None:
    call = await studio.call().start()
    await _cancelled(call)

    assert (await call.closed()).ended == CANCELLED


@beside_the_others
async def test_while_the_room_cannot_be_opened(studio: Studio) -> None:
    call = studio.call()
    studio.rooms.away.add(call.room)
    await call.start()
    await eventually(lambda: studio.rooms.count("list_rooms", call.room) > 0)
    await _cancelled(call)
    await call.until("over", lambda status: status.state in ("closing", "closed"))
    studio.rooms.away.discard(call.room)

    assert (await call.closed()).ended == CANCELLED


@beside_the_others
async def test_a_room_whose_creation_was_never_confirmed_is_deleted(studio: Studio) -> None:
    call = studio.call()
    studio.rooms.faults["create", call.room] += [Fault.DONE_THEN_SILENT]
    await call.start()
    await eventually(lambda: studio.rooms.count("create", call.room) == 1)
    await _cancelled(call)

    assert (await call.closed()).ended == CANCELLED
    assert call.room not in studio.rooms.rooms


@beside_the_others
async def test_while_livekit_takes_no_dispatch(studio: Studio) -> None:
    call = studio.call()
    studio.rooms.faults["dispatch", call.room] += [Fault.AWAY] * 100
    await call.start()
    await eventually(lambda: studio.rooms.count("dispatch", call.room) > 0)
    await _cancelled(call)
    await call.until("over", lambda status: status.state in ("closing", "closed"))

    closed = await call.closed()

    assert closed.ended == CANCELLED
    assert "attempt 1 failed: the call ended during its dispatch" in closed.told


@beside_the_others
async def test_while_the_agent_is_awaited(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES).start()
    await call.until("dispatched", lambda status: status.waiting_for == "agent_join")
    await _cancelled(call)

    closed = await call.closed()

    assert closed.ended == CANCELLED
    assert call.dispatched_attempts() == [1]
    assert "attempt 1 failed: the call ended before its agent was seen" in closed.told


@beside_the_others
async def test_while_the_agent_is_not_ready(studio: Studio) -> None:
    call = await studio.call(Plays(claims=None)).start()
    await call.until("there", lambda status: status.waiting_for == "agent_ready")
    await _cancelled(call)

    assert (await call.closed()).ended == CANCELLED


@beside_the_others
async def test_between_two_attempts(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES, join_timeout=1, join_backoff=60).start()
    await call.until("pausing", lambda status: status.waiting_for == "retry")
    await _cancelled(call)

    closed = await call.closed()

    assert closed.ended == CANCELLED
    assert call.dispatched_attempts() == [1]


@beside_the_others
async def test_in_the_middle_of_the_call(studio: Studio) -> None:
    call = await studio.call().live()
    await call.says("What was said is kept")
    await _cancelled(call)

    closed = await call.closed()

    assert closed.ended == CANCELLED
    assert call.crew.told == ["cancelled"], "the agent was asked to finish, once"
    assert closed.status.report_received
    assert closed.status.summary == "ready"


@beside_the_others
async def test_while_the_agent_is_replaced(studio: Studio) -> None:
    call = await studio.call(MUTE, NEVER_COMES).live()
    await call.crew.report(1, ReportEnd.ERROR)
    await call.until("recovering", lambda s: s.dispatches == 2 and s.state == "recovering")
    await _cancelled(call)

    assert (await call.closed()).ended == CANCELLED


@beside_the_others
async def test_an_end_that_is_under_way_stays_what_it_is(studio: Studio) -> None:
    call = await studio.call(MUTE, report_grace=600).live()
    await call.end()
    await call.until("ending", lambda status: status.waiting_for == "report")
    await _cancelled(call)
    await call.update(Finalise(by="ops"))

    closed = await call.closed()

    assert closed.ended == ("report_missing", "end_requested")


@beside_the_others
async def test_while_mongodb_is_waited_for(studio: Studio) -> None:
    call = await studio.call().live()
    studio.archive.switch.away.add(call.key)
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.until("persisting", lambda status: status.state == "persisting")
    await _cancelled(call)
    studio.archive.switch.away.discard(call.key)

    closed = await call.closed()

    assert closed.ended == ("completed", "agent_ended")
    assert closed.status.archived


@beside_the_others
async def test_while_the_summary_is_written(studio: Studio) -> None:
    call = await studio.call().live()
    await call.says("cancelled in between")
    written = studio.summariser.gates["cancelled in between"] = asyncio.Event()
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.until("summarising", lambda status: status.state == "summarising")
    await _cancelled(call)
    written.set()

    closed = await call.closed()

    assert closed.ended == ("completed", "agent_ended")
    assert closed.status.summary == "ready", "nobody cancels a summary half-way"


@beside_the_others
async def test_while_the_room_cannot_be_deleted(studio: Studio) -> None:
    call = await studio.call(room_deletion_wait=1).live()
    studio.rooms.away.add(call.room)
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.until("closed", lambda status: status.state == "closed")
    await _cancelled(call)
    studio.rooms.away.discard(call.room)

    assert (await call.closed()).ended == ("completed", "agent_ended")
