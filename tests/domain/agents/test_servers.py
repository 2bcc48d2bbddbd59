"""How many calls agent servers would take now."""

from datetime import UTC, datetime, timedelta

from domain.agents.servers import AgentServer, JobTick, free_places

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def server(name: str = "talker", *, age: float = 0, jobs: int = 0, **said: int) -> AgentServer:
    """A server with places for four calls, as it was last heard."""
    return AgentServer(
        server_id=name,
        agent_name=name,
        max_jobs=4,
        draining=bool(said.get("draining")),
        free=said.get("free"),
        jobs=[JobTick(job_id=f"AJ_{number}") for number in range(jobs)],
        last_heartbeat=NOW - timedelta(seconds=age),
    )


def test_places_are_those_of_all_servers_of_the_name() -> None:
    servers = [server(free=1, jobs=2), server(free=3), server("somebody else", free=4)]
    assert free_places(servers, "talker", NOW) == 4


def test_a_server_that_does_not_say_has_room_beside_its_jobs() -> None:
    assert free_places([server(jobs=3)], "talker", NOW) == 1
    assert free_places([server(jobs=5)], "talker", NOW) == 0


def test_servers_that_drain_have_no_place() -> None:
    assert free_places([server(draining=1, free=2)], "talker", NOW) == 0


def test_nothing_is_known_where_no_server_of_the_name_is_heard() -> None:
    assert free_places([], "talker", NOW) is None
    assert free_places([server(age=11, free=4), server("other", free=4)], "talker", NOW) is None
