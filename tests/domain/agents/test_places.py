"""How many calls agent servers can take, whose turn it is, and how long it may take."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.agents.places import Place, Waiting, capacity, expected_wait, in_turn
from domain.agents.servers import MOST_JOBS, AgentServer, JobTick

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
NAME = "agents"


def server(
    *sessions: str,
    max_jobs: int = 4,
    free: int | None = None,
    age: float = 0,
    draining: bool = False,
) -> AgentServer:
    """An agent server that runs the agents of these sessions."""
    return AgentServer(
        server_id=f"server-{sessions}-{age}",
        agent_name=NAME,
        max_jobs=max_jobs,
        free=free,
        draining=draining,
        jobs=[
            JobTick(job_id=f"job-{name}", org="acme", session_id=name, attempt=1)
            for name in sessions
        ],
        last_heartbeat=NOW - timedelta(seconds=age),
    )


def held(*sessions: str, org: str = "acme") -> list[Place]:
    """Places that these sessions hold."""
    return [
        Place(agent_name=NAME, number=number, org=org, session_id=name, claimed_at=NOW)
        for number, name in enumerate(sessions)
    ]


def waiting(org: str, name: str, second: float = 0) -> Waiting:
    """A session that entered the queue in this second."""
    at = NOW + timedelta(seconds=second)
    return Waiting(agent_name=NAME, org=org, session_id=name, claimed_at=at)


def free(servers: list[AgentServer], places: list[Place]) -> int | None:
    """The places that are free and held by nobody; None if the capacity is not known."""
    there = capacity(servers, NAME, places, NOW)
    return there and there.free


def test_a_place_that_is_held_is_not_free_before_its_agent_runs() -> None:
    assert free([server()], []) == 4
    assert free([server()], held("a", "b")) == 2
    assert free([server("a")], held("a", "b")) == 2
    assert free([server("a", "b")], held("a", "b")) == 2


def test_jobs_of_nobody_who_holds_a_place_take_places_as_well() -> None:
    assert free([server("older", "other")], held("a")) == 1


def test_what_a_server_reports_as_free_counts_not_its_size() -> None:
    assert free([server("a", free=1)], held("a")) == 1
    assert free([server("a", free=0)], held("a", "b")) == 0


def test_a_server_that_has_missed_a_heartbeat_gets_no_calls_and_its_own_may_need_places() -> None:
    late = server("a", "b", age=5)
    assert free([late], held("a", "b")) == 0
    assert free([late, server(max_jobs=3)], held("a", "b")) == 1
    there = capacity([late], NAME, held("a", "b"), NOW)
    assert there is not None
    assert (there.size, there.most_waiting) == (4, 4), "it may be back in a moment"


@pytest.mark.parametrize(
    ("max_jobs", "reported", "places"),
    [
        (0, None, 0),
        (0, 5, 0),
        (4, 50, 2),
        (1, None, 0),
        (10**18, None, MOST_JOBS - 2),
        (10**18, 10**18, MOST_JOBS - 2),
    ],
)
def test_a_server_has_no_more_places_than_its_size_leaves(
    max_jobs: int, reported: int | None, places: int
) -> None:
    liar = server("a", "b", max_jobs=max_jobs, free=reported)
    assert liar.places == places
    there = capacity([liar], NAME, held("a", "b"), NOW)
    assert there is not None
    assert (there.free, there.most_waiting) == (places, min(max_jobs, MOST_JOBS))


def test_the_places_of_all_servers_of_a_name_count_together() -> None:
    one, other = server("a", max_jobs=2), server("b", max_jobs=3)
    assert free([one, other], held("a", "b")) == 3


def test_a_draining_server_has_no_place_and_its_calls_take_none_of_the_others() -> None:
    draining = server("a", "b", draining=True)
    there = capacity([draining, server(max_jobs=2)], NAME, held("a", "b"), NOW)
    assert there is not None
    assert (there.size, there.free, there.most_waiting) == (4, 2, 2)


@pytest.mark.parametrize(
    "servers",
    [
        [],
        [server("a", age=30)],
        [server("a", draining=True)],
        [server("a", draining=True), server(age=30)],
    ],
)
def test_without_a_server_that_takes_calls_the_capacity_is_not_known(
    servers: list[AgentServer],
) -> None:
    assert capacity(servers, NAME, held("a"), NOW) is None
    assert capacity([*servers, server()], "another", [], NOW) is None


def test_an_org_with_few_places_comes_before_one_with_many() -> None:
    queue = [
        *(waiting("big", f"big-{number}", number) for number in range(4)),
        waiting("small", "small-1", 10),
        waiting("small", "small-2", 11),
    ]
    order = [one.session_id for one in in_turn(queue, held("x", org="big"))]
    assert order == ["small-1", "big-0", "small-2", "big-1", "big-2", "big-3"]


def test_within_an_org_the_order_is_that_of_arrival() -> None:
    queue = [waiting("acme", "second", 2), waiting("acme", "first", 1), waiting("acme", "third", 3)]
    assert [one.session_id for one in in_turn(queue, [])] == ["first", "second", "third"]


def test_the_expected_wait_follows_from_the_last_releases() -> None:
    releases = [NOW - timedelta(seconds=age) for age in (40, 30, 20, 10)]
    assert expected_wait(1, releases, NOW) == 10
    assert expected_wait(3, releases, NOW) == 30
    assert expected_wait(0, releases, NOW) == 0


def test_no_wait_is_expected_of_few_or_old_releases() -> None:
    assert expected_wait(1, [], NOW) is None
    assert expected_wait(1, [NOW - timedelta(seconds=1)], NOW) is None
    assert expected_wait(1, [NOW - timedelta(minutes=m) for m in (9, 8, 7)], NOW) is None
