"""Ends that come while the session is busy with its agent: the first one counts."""

from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import Redispatch, agent_lost
from tests.fakes.agents import NEVER_COMES, Plays
from tests.waiting import eventually
from tests.workflows.calls import Call, Studio
from tests.workflows.scenes import beside_the_others, takes_long

MUTE = Plays(report_when_told=False, report_when_removed=False)


async def _last_retraction_hangs(call: Call) -> None:
    """LiveKit stops answering once the agent is awaited, until the attempt is retracted."""
    rooms = call.studio.rooms
    await call.until("dispatched", lambda status: status.waiting_for == "agent_join")
    rooms.away.add(call.room)
    before = rooms.count("dispatches", call.room)
    await eventually(
        lambda: rooms.count("dispatches", call.room) > before, what="the retraction has begun"
    )


@beside_the_others
async def test_an_end_during_the_last_retraction_counts(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES, join_timeout=1, join_attempts=1).start()
    await _last_retraction_hangs(call)
    await call.end()
    studio.rooms.away.discard(call.room)

    assert (await call.closed()).ended == ("cancelled", "end_requested")


@beside_the_others
async def test_a_cancel_during_the_last_retraction_counts(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES, join_timeout=1, join_attempts=1).start()
    await _last_retraction_hangs(call)
    await call.handle.cancel()
    studio.rooms.away.discard(call.room)

    assert (await call.closed()).ended == ("cancelled", "cancelled")


@beside_the_others
async def test_an_end_during_the_last_retraction_of_a_replacement_counts(studio: Studio) -> None:
    call = await studio.call(MUTE, NEVER_COMES, join_timeout=3, join_attempts=1).live()
    await call.tell(call.failure(1, "the model is gone"))
    await call.until("dispatched again", lambda status: status.dispatches == 2)
    await _last_retraction_hangs(call)
    await call.end()
    studio.rooms.away.discard(call.room)

    assert (await call.closed()).ended == ("agent_lost", "end_requested")


async def _agent_is_looked_for(call: Call) -> None:
    """Wait until the room is checked again and again, because LiveKit does not answer."""
    rooms = call.studio.rooms
    enough = rooms.count("participants", call.room) + 2
    await eventually(
        lambda: rooms.count("participants", call.room) >= enough, what="the agent is looked for"
    )


async def _replaced_on_request(call: Call) -> str:
    """Have the agent removed and the next one dispatched; returns the first one's job."""
    job = f"AJ_{(await call.status()).agent_identity}"
    await call.update(Redispatch(by="ops"))
    await call.until("dispatched again", lambda status: status.dispatches == 2)
    return job


@beside_the_others
async def test_the_report_of_an_agent_that_was_removed_on_request_is_waited_for(
    studio: Studio,
) -> None:
    call = await studio.call(MUTE, NEVER_COMES, report_grace=600).live()
    await _replaced_on_request(call)
    await call.end()
    await eventually(lambda: call.room not in studio.rooms.rooms, what="the callers are let go")
    await call.crew.report(1, ReportEnd.SHUTDOWN)

    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_it_is_waited_for_if_the_end_comes_before_the_agent_is_removed(
    studio: Studio,
) -> None:
    call = await studio.call(MUTE, report_grace=600).live()
    studio.rooms.away.add(call.room)
    # It is looked for meanwhile, so that it is not removed yet.
    await call.agent_reconnects()
    await _agent_is_looked_for(call)
    await call.update(Redispatch(by="ops"))
    await call.end()
    studio.rooms.away.discard(call.room)
    await call.until("ending", lambda status: status.state == "ending")
    await call.crew.report(1, ReportEnd.SHUTDOWN)

    closed = await call.closed()

    assert closed.ended == ("completed", "end_requested")
    assert call.dispatched_attempts() == [1]


@beside_the_others
async def test_the_report_of_a_dead_agent_that_was_replaced_on_request_is_not_waited_for(
    studio: Studio,
) -> None:
    call = await studio.call(MUTE, NEVER_COMES, report_grace=600).live()
    job = await _replaced_on_request(call)
    await call.end()
    await call.until("ending", lambda status: status.state == "ending")
    await call.tell(agent_lost(1, job, "its process was killed"))

    assert (await call.closed()).ended == ("report_missing", "end_requested")


@beside_the_others
async def test_a_leave_that_is_checked_as_the_call_ends_is_not_forgotten(studio: Studio) -> None:
    call = await studio.call(MUTE, report_grace=600).live()
    studio.rooms.away.add(call.room)
    await call.agent_leaves()
    await _agent_is_looked_for(call)
    await call.end()
    studio.rooms.away.discard(call.room)

    await eventually(lambda: call.room not in studio.rooms.rooms, what="the callers are let go")
    await call.crew.report(1, ReportEnd.END_REQUESTED)
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
@takes_long
async def test_the_maximum_duration_ends_a_call_while_its_agent_is_looked_for(
    studio: Studio,
) -> None:
    call = await studio.call(MUTE, max_duration=6, report_grace=1).live()
    studio.rooms.away.add(call.room)
    await call.agent_leaves()
    status = await call.until("over", lambda status: status.end_reason is not None)
    studio.rooms.away.discard(call.room)
    await call.closed()

    assert status.end_reason == "max_duration"
    assert status.deadline
    assert status.ended_at
    assert (status.ended_at - status.deadline).total_seconds() < 10, "a check may take 24 s"


@beside_the_others
@takes_long
async def test_the_maximum_duration_ends_a_call_while_its_agent_is_removed(studio: Studio) -> None:
    call = await studio.call(MUTE, NEVER_COMES, max_duration=6).live()
    studio.rooms.away.add(call.room)
    await call.tell(call.failure(1, "the model is gone"))
    known = await call.until("recovering", lambda status: status.state == "recovering")
    # The first end counts, and is a change of the status.
    await call.until("its time is up", lambda status: status.version > known.version)
    await call.end()
    studio.rooms.away.discard(call.room)

    closed = await call.closed()

    assert closed.ended == ("agent_lost", "max_duration")
    assert closed.status.attempt == 1
