"""Who gets a place on an agent server, who waits, and who is refused at once."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from domain.access.quotas import Life
from domain.agents.config import AgentConfig
from domain.agents.places import PlaceState
from domain.errors import EverlineError, InvalidInput, NoCapacity, RoomNameTaken
from domain.ids import SessionKey
from domain.sessions.session import SessionInput, SessionState
from services.agents.admission import Admitted
from tests.services.agents.fleet import NAME, Fleet


@pytest.fixture
def fleet() -> Fleet:
    """An agent server that has not reported yet."""
    return Fleet()


async def test_starts_get_the_places_there_are_then_wait_then_are_refused(fleet: Fleet) -> None:
    await fleet.reports()
    states = [(await fleet.starts(name)).state for name in ("a", "b", "c", "d")]
    assert states == ["reserved", "reserved", "queued", "queued"]

    with pytest.raises(NoCapacity) as refused:
        await fleet.starts("e")

    assert refused.value.code == "no_capacity"
    assert refused.value.retry_after
    assert "EVERLINE_MAX_JOBS" in (refused.value.cure or "")
    assert SessionKey("acme", "e") not in fleet.places.waiting


async def test_a_storm_of_starts_takes_no_place_twice(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=10)
    starts = [fleet.starts(f"s{number}") for number in range(40)]
    answers = await asyncio.gather(*starts, return_exceptions=True)

    admitted = [answer.state for answer in answers if isinstance(answer, Admitted)]
    assert admitted.count(PlaceState.RESERVED) == 10
    assert admitted.count(PlaceState.QUEUED) == 10
    assert sum(isinstance(answer, NoCapacity) for answer in answers) == 20
    assert fleet.places.asked < 2 * len(starts), "those who wait for each other share what is read"


async def test_a_repeated_start_is_the_same_admission(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=1)
    await fleet.starts("a")
    await fleet.starts("b")

    assert await fleet.starts("a") == Admitted(PlaceState.RESERVED, again=True)
    again = await fleet.starts("b")
    assert (again.state, again.queue_position, again.again) == ("queued", 1, True)
    assert (len(fleet.places.held), len(fleet.places.waiting)) == (1, 1)


async def test_who_does_not_want_to_wait_is_refused_at_once(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=1)
    await fleet.starts("a", queue_seconds=0)
    with pytest.raises(NoCapacity):
        await fleet.starts("b", queue_seconds=0)
    assert fleet.places.waiting == {}


async def test_a_start_that_cannot_be_served_in_its_time_is_told_when_to_come_again(
    fleet: Fleet,
) -> None:
    await fleet.reports()
    await fleet.starts("a")
    await fleet.starts("b")
    now = datetime.now(UTC)
    fleet.places.released = [(NAME, now - timedelta(seconds=age)) for age in (79.9, 60, 40, 20)]

    with pytest.raises(NoCapacity, match="about 20 s") as refused:
        await fleet.starts("c", queue_seconds=10)
    assert refused.value.retry_after == 20
    assert (await fleet.starts("c", queue_seconds=25)).queue_seconds == 20


async def test_a_refused_start_gives_its_place_back(fleet: Fleet) -> None:
    await fleet.reports()
    assert await fleet.refused_start("a") is PlaceState.RESERVED
    assert fleet.places.held == {}
    assert fleet.places.released == [], "nothing follows from it for the pace of calls"
    with pytest.raises(InvalidInput):
        await refused(fleet, InvalidInput("Temporal takes no input of this size"))
    assert fleet.places.held == {}

    await fleet.starts("b")
    assert await fleet.refused_start("b") is PlaceState.RESERVED
    assert list(fleet.places.held) == [SessionKey("acme", "b")]


async def refused(fleet: Fleet, error: EverlineError) -> None:
    """A start that is refused by this error."""
    async with fleet.admission.place(SessionKey("acme", "refused"), NAME, 30):
        raise error


async def test_of_two_requests_for_one_session_the_slower_one_takes_no_place_away(
    fleet: Fleet,
) -> None:
    await fleet.reports()
    key = SessionKey("acme", "a")
    got: list[Admitted] = []
    with suppress(RoomNameTaken):
        async with fleet.admission.place(key, NAME, 30) as admitted:
            got += [admitted, await fleet.starts("a")]
            raise RoomNameTaken("the other one has made the room")
    first, second = got
    assert (first.again, second.again) == (False, True)
    assert list(fleet.places.held) == [key], "the session of the second request runs"

    running = started("a", place=PlaceState.RESERVED)
    await fleet.admission.withdraw_from(running, first)
    assert list(fleet.places.held) == [key]


async def test_a_repeated_start_gives_back_what_its_session_does_not_need(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=10)
    without, over, external, running = (
        started(name, place)
        for name, place in (
            ("without", None),
            ("over", PlaceState.RESERVED),
            ("external", PlaceState.QUEUED),
            ("running", PlaceState.RESERVED),
        )
    )
    fleet.workflows.states[over.key] = SessionState.SUMMARISING
    fleet.workflows.external.add(external.key)
    for session in (without, over, external, running):
        fleet.workflows.lives[session.key] = Life.OPEN
        admitted = await fleet.admission.admit(session.key, NAME, 30)
        await fleet.admission.withdraw_from(session, admitted)

    assert list(fleet.places.held) == [running.key]


def started(name: str, place: PlaceState | None) -> SessionInput:
    """What the workflow of a session runs."""
    return SessionInput(
        org="acme",
        session_id=name,
        room_name=name,
        livekit_room=f"acme.{name}",
        caller_identity="caller",
        agent_name=NAME,
        config=AgentConfig(),
        request_digest="d",
        place=place,
    )


async def test_a_start_of_a_session_that_exists_is_not_refused(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=1)
    await fleet.starts("a")
    fleet.workflows.lives[SessionKey("acme", "old")] = Life.OPEN
    assert (await fleet.starts("old", queue_seconds=0)).state is None


async def test_without_agent_servers_nothing_is_reserved(fleet: Fleet) -> None:
    assert (await fleet.starts("a")).state is None
    assert (fleet.places.held, fleet.places.waiting) == ({}, {})


async def test_while_mongodb_is_away_sessions_start_without_a_place(fleet: Fleet) -> None:
    await fleet.reports()
    fleet.places.away = True
    answers = await asyncio.gather(*(fleet.starts(f"s{number}") for number in range(10)))
    assert {answer.state for answer in answers} == {None}
    assert fleet.places.asked <= 3, "the others do not wait for MongoDB one after the other"
