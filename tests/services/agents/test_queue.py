"""Whose turn it is when a place is released, and what becomes of places that nobody releases."""

import pytest

from adapters.memory_agent_servers import MemoryAgentServers
from domain.access.quotas import Life
from domain.agents.places import Waiting
from domain.errors import NoCapacity
from domain.ids import SessionKey
from services.agents.admission import CHECKED_AFTER, STARTED_WITHIN, Admission
from tests.fakes.places import MemoryPlaces
from tests.services.agents.fleet import Fleet


@pytest.fixture
def fleet() -> Fleet:
    """An agent server that has not reported yet."""
    return Fleet()


async def test_a_released_place_goes_to_whose_turn_it_is(fleet: Fleet) -> None:
    await fleet.reports()
    for name in ("a", "b", "c", "d"):
        await fleet.starts(name)
    await fleet.reports("a", "b")
    assert await fleet.admission.serve_queue() == 0
    assert sorted(fleet.workflows.told) == [("c", 1), ("d", 2)]

    await fleet.ends("a")
    await fleet.reports("b")
    assert await fleet.admission.serve_queue() == 1

    assert fleet.workflows.told[2:3] == [("c", 0)]
    assert SessionKey("acme", "c") in fleet.places.held
    assert [key.session_id for key in fleet.places.waiting] == ["d"]
    assert await fleet.admission.serve_queue() == 0, "one place was released, and one given"


async def test_a_place_is_not_given_again_before_the_agent_server_is_rid_of_its_job(
    fleet: Fleet,
) -> None:
    await fleet.reports(max_jobs=1)
    await fleet.starts("a")
    await fleet.starts("b")
    await fleet.reports("a", max_jobs=1)
    await fleet.ends("a")

    assert await fleet.admission.serve_queue() == 0
    await fleet.reports(max_jobs=1)
    assert await fleet.admission.serve_queue() == 1


async def test_the_places_of_a_draining_server_are_not_given_again(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=1)
    await fleet.reports(max_jobs=1, server="two")
    for name in ("a", "b", "c"):
        await fleet.starts(name)
    await fleet.reports("a", max_jobs=1, draining=True)
    await fleet.reports("b", max_jobs=1, server="two")
    await fleet.ends("a")
    await fleet.reports(max_jobs=1, draining=True)
    assert await fleet.admission.serve_queue() == 0

    await fleet.ends("b")
    await fleet.reports(max_jobs=1, server="two")
    assert await fleet.admission.serve_queue() == 1


async def test_a_server_that_shrinks_while_it_is_full_gives_no_place_twice(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=3)
    for name in ("a", "b", "c", "d"):
        await fleet.starts(name)
    await fleet.ends("a")
    await fleet.ends("b")
    await fleet.reports("c", max_jobs=1)
    assert await fleet.admission.serve_queue() == 0
    with pytest.raises(NoCapacity):
        await fleet.starts("e", queue_seconds=0)

    await fleet.ends("c")
    await fleet.reports(max_jobs=1)
    assert await fleet.admission.serve_queue() == 1
    assert fleet.workflows.told[-1] == ("d", 0)


async def test_a_new_start_does_not_overtake_the_queue(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=1)
    await fleet.starts("a")
    await fleet.starts("b")
    await fleet.ends("a")

    late = await fleet.starts("c")

    assert (late.state, late.queue_position) == ("queued", 2)


async def test_another_org_waits_for_one_place_only(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=4)
    for number in range(8):
        await fleet.starts(f"s{number}", org="big")
    with pytest.raises(NoCapacity):
        await fleet.starts("one-more", org="big")

    assert (await fleet.starts("x", org="small")).queue_position == 1


async def test_a_place_waits_for_a_workflow_that_has_not_begun(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=1)
    await fleet.starts("a")
    await fleet.starts("b")
    del fleet.workflows.lives[SessionKey("acme", "b")]
    await fleet.ends("a")

    await fleet.admission.serve_queue()
    assert fleet.workflows.told == []
    fleet.workflows.lives[SessionKey("acme", "b")] = Life.OPEN
    await fleet.admission.serve_queue()

    assert fleet.workflows.told == [("b", 0)]
    assert (list(fleet.places.waiting), len(fleet.places.held)) == ([], 1)


async def test_who_has_ended_while_waiting_gets_no_place(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=1)
    await fleet.starts("a")
    await fleet.starts("b")
    fleet.workflows.lives[SessionKey("acme", "b")] = Life.ENDED
    await fleet.ends("a")

    await fleet.admission.serve_queue()

    assert (fleet.places.held, fleet.places.waiting) == ({}, {})


async def test_a_session_that_takes_no_message_holds_up_no_other(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=2)
    for name in ("a", "b", "c", "d"):
        await fleet.starts(name)
    fleet.workflows.refusing = {"c"}
    await fleet.ends("a")
    await fleet.ends("b")

    assert await fleet.admission.serve_queue() == 2
    assert fleet.workflows.told == [("d", 0)]
    assert [key.session_id for key in fleet.places.waiting] == ["c"]

    fleet.workflows.refusing = set()
    await fleet.admission.serve_queue()
    assert fleet.workflows.told == [("d", 0), ("c", 0)]


async def test_who_was_told_by_another_process_keeps_its_place(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=1)
    await fleet.starts("a")
    await fleet.starts("b")
    await fleet.ends("a")
    queue = await fleet.places.queue()
    await fleet.admission.serve_queue()
    # A process that was stopped for a while still has the queue as it was. The stand-ins answer
    # what is asked of their ports here, not all of them.
    late = Admission(fleet.servers, StaleQueue(fleet.places, queue), *[fleet.workflows] * 2)  # pyright: ignore[reportArgumentType]

    await late.serve_queue()

    assert list(fleet.places.held) == [SessionKey("acme", "b")]


class StaleQueue:
    """The places, with an older queue."""

    def __init__(self, places: MemoryPlaces, queue: list[Waiting]) -> None:
        self._places = places
        self._queue = queue

    def __getattr__(self, name: str) -> object:
        return getattr(self._places, name)

    async def queue(self) -> list[Waiting]:
        """As it was."""
        return self._queue


async def test_calls_that_end_together_promise_no_places(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=10)
    for number in range(10):
        await fleet.starts(f"s{number}")
    for number in range(10):
        await fleet.ends(f"s{number}")
    for number in range(10, 20):
        await fleet.starts(f"s{number}")

    waits = [(await fleet.starts(f"w{number}")).queue_seconds for number in range(10)]
    assert waits == [3 * position for position in range(1, 11)]
    with pytest.raises(NoCapacity):
        await fleet.starts("one-more")


async def test_places_of_sessions_without_a_workflow_are_released(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=3)
    for name in ("terminated", "running", "starting"):
        await fleet.starts(name)
    await fleet.starts("waiting")
    fleet.workflows.lives[SessionKey("acme", "terminated")] = Life.ENDED
    fleet.workflows.lives[SessionKey("acme", "waiting")] = Life.ENDED
    del fleet.workflows.lives[SessionKey("acme", "starting")]
    await fleet.reports("running", max_jobs=3)

    assert await fleet.admission.release_unused() == 0, "they are too young to be suspected"
    fleet.ages(CHECKED_AFTER)
    assert await fleet.admission.release_unused() == 2
    assert [key.session_id for key in fleet.places.held] == ["running", "starting"]
    assert fleet.places.waiting == {}
    fleet.ages(STARTED_WITHIN)
    assert await fleet.admission.release_unused() == 1
    assert [key.session_id for key in fleet.places.held] == ["running"]


async def test_when_the_last_agent_server_goes_nobody_waits_for_a_place(fleet: Fleet) -> None:
    await fleet.reports(max_jobs=1)
    await fleet.starts("a")
    await fleet.starts("b")
    fleet.servers = MemoryAgentServers()
    fleet.admission.servers = fleet.servers

    assert (await fleet.starts("c")).state is None
    await fleet.admission.serve_queue()

    assert fleet.workflows.told == [("b", 0)], "its agent is dispatched, whoever takes the call"
    assert fleet.places.waiting == {}
    assert [key.session_id for key in fleet.places.held] == ["a", "b"], "for a server that comes"
