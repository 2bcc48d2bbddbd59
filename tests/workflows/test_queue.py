"""A session that waits for a place on an agent server, and every way in which the wait ends."""

from datetime import UTC, datetime

from domain.agents.places import PlaceState, Waiting
from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import PlaceChanged
from domain.sessions.session import SessionStatus
from tests.workflows.calls import AGENT_NAME, Call, Studio
from tests.workflows.evidence import in_order
from tests.workflows.scenes import beside_the_others


def is_queued(status: SessionStatus) -> bool:
    """Whether the session waits in the queue."""
    return (status.state, status.waiting_for) == ("queued", "agent_capacity")


async def queued(studio: Studio, queue_seconds: float = 600) -> Call:
    """A session that is in the queue, as its start has put it there."""
    call = studio.call(place=PlaceState.QUEUED, queue_seconds=queue_seconds)
    entry = Waiting(agent_name=AGENT_NAME, claimed_at=datetime.now(UTC), **call.key._asdict())
    await studio.places.enqueue(entry)
    await call.start()
    await call.until("queued", is_queued)
    return call


async def moves(call: Call, position: int, seconds: float | None = None) -> None:
    """The session is told its position; 0 is a place."""
    event = f"place:{position}:{seconds}"
    await call.tell(PlaceChanged(event_id=event, position=position, seconds=seconds))


@beside_the_others
async def test_a_queued_session_dispatches_once_it_has_a_place(studio: Studio) -> None:
    call = await queued(studio)
    await moves(call, 3, 12)
    status = await call.until("third", lambda status: status.queue_position == 3)
    assert (status.queue_seconds, status.attempt, status.agent_dispatched) == (12, 0, False)
    await moves(call, 1)
    await call.until("first", lambda status: status.queue_position == 1)
    assert call.dispatched_attempts() == []

    await studio.places.claim(call.key, AGENT_NAME, 1_000)
    await moves(call, 0)
    status = await call.until("joined", lambda status: status.joins > 0)
    assert (status.queue_position, status.queue_seconds, status.attempt) == (None, None, 1)
    await call.caller_joins()
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()
    assert closed.ended == ("completed", "agent_ended")
    assert in_order(
        closed.told,
        "room created",
        "no agent server has a free place",
        "a place on an agent server is reserved",
        "attempt 1: dispatched",
    ), closed.told
    assert call.key not in studio.places.held
    assert call.key not in studio.places.waiting


@beside_the_others
async def test_a_session_whose_turn_does_not_come_in_time_ends_without_a_dispatch(
    studio: Studio,
) -> None:
    call = await queued(studio, queue_seconds=1)

    closed = await call.closed()

    assert closed.ended == ("no_capacity", "no_capacity")
    assert (closed.status.attempt, closed.status.dispatches) == (0, 0)
    assert closed.status.queue_position is None
    assert call.dispatched_attempts() == []
    assert call.key not in studio.places.waiting


@beside_the_others
async def test_an_end_takes_the_session_out_of_the_queue(studio: Studio) -> None:
    call = await queued(studio)
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("cancelled", "end_requested")
    assert call.dispatched_attempts() == []
    assert call.key not in studio.places.waiting


@beside_the_others
async def test_a_caller_who_hangs_up_while_the_session_waits_ends_it(studio: Studio) -> None:
    call = await queued(studio)
    await call.caller_joins()
    await call.caller_leaves()

    closed = await call.closed()

    assert closed.ended == ("cancelled", "caller_left")
    assert call.key not in studio.places.waiting


@beside_the_others
async def test_a_reserved_place_is_kept_for_a_replacement_and_released_after_the_call(
    studio: Studio,
) -> None:
    call = studio.call(place=PlaceState.RESERVED)
    await studio.places.claim(call.key, AGENT_NAME, 1_000)
    await call.live()
    await call.tell(call.failure(1, "it crashed"))
    await call.until("replaced", lambda status: status.joins == 2)
    assert call.key in studio.places.held
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("completed", "end_requested")
    assert call.key not in studio.places.held


@beside_the_others
async def test_a_message_about_the_queue_changes_nothing_for_who_does_not_wait(
    studio: Studio,
) -> None:
    call = await studio.call().live()
    await moves(call, 5, 30)
    await call.until("live", lambda status: status.caller_present)

    status = await call.status()

    assert (status.state, status.queue_position) == ("live", None)
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")
