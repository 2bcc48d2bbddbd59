"""Ends that come while the session is busy with its agent: the first one counts."""

from tests.fakes.agents import NEVER_COMES, Plays
from tests.waiting import eventually
from tests.workflows.calls import Call, Studio
from tests.workflows.scenes import beside_the_others

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
