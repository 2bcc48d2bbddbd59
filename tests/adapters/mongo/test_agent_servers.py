"""Heartbeats, in MongoDB and in memory alike: the last one of each server counts."""

from datetime import timedelta
from typing import Any

import pytest

from adapters.memory_agent_servers import MemoryAgentServers
from adapters.mongo import MongoArchive
from domain.agents.ports import AgentServers
from domain.agents.servers import AgentServer, Heartbeat, JobTick, LostJob
from domain.ids import SessionKey
from tests.adapters.mongo.examples import NOON

SECOND = timedelta(seconds=1)


def heartbeat(server_id: str, **fields: Any) -> Heartbeat:
    given: dict[str, Any] = {"server_id": server_id, "agent_name": "local-test", "max_jobs": 4}
    return Heartbeat.model_validate(given | fields)


@pytest.fixture(params=["mongo", "memory"])
def servers(request: pytest.FixtureRequest) -> AgentServers:
    if request.param == "memory":
        return MemoryAgentServers()
    archive: MongoArchive = request.getfixturevalue("archive")
    return archive.agent_servers


async def test_the_last_heartbeat_of_each_server_is_known(servers: AgentServers) -> None:
    jobs = [JobTick(job_id="AJ_1", org="acme", session_id="call-1", attempt=2, tick_age=0.5)]
    await servers.record(heartbeat("b"), NOON)
    await servers.record(heartbeat("a"), NOON)
    await servers.record(
        heartbeat("b", jobs=jobs, draining=True, version="1.0", spool="d"), NOON + SECOND
    )

    known = await servers.seen_since(NOON)

    assert [server.server_id for server in known] == ["a", "b"]
    assert known[1] == AgentServer(
        server_id="b",
        agent_name="local-test",
        max_jobs=4,
        draining=True,
        version="1.0",
        spool="d",
        jobs=jobs,
        last_heartbeat=NOON + SECOND,
    )


async def test_losses_are_passed_on_and_not_kept(servers: AgentServers) -> None:
    lost = LostJob(job_id="AJ_1", reason="its process ended with code -9")

    assert await servers.record(heartbeat("a", lost=[lost]), NOON) == []

    [known] = await servers.seen_since(NOON)
    assert "lost" not in known.model_dump()


async def test_the_way_of_heartbeats_can_be_proven_again_and_again(servers: AgentServers) -> None:
    await servers.prove_path(NOON)
    await servers.prove_path(NOON)

    assert await servers.seen_since(NOON - SECOND) == []


async def test_silent_servers_are_left_out(servers: AgentServers) -> None:
    await servers.record(heartbeat("old"), NOON)
    await servers.record(heartbeat("new"), NOON + 10 * SECOND)

    known = await servers.seen_since(NOON + SECOND)

    assert [server.server_id for server in known] == ["new"]


async def test_a_heartbeat_that_was_overtaken_changes_nothing(servers: AgentServers) -> None:
    await servers.record(heartbeat("a", number=2, draining=True), NOON)
    await servers.record(heartbeat("a", number=1, draining=False), NOON + SECOND)

    [known] = await servers.seen_since(NOON)

    assert (known.draining, known.last_heartbeat) == (True, NOON)


@pytest.mark.parametrize("numbers", [(1, 2), (0, 0)], ids=["numbered", "of an older server"])
async def test_an_api_whose_clock_is_behind_is_believed_as_well(
    servers: AgentServers, numbers: tuple[int, int]
) -> None:
    first, second = numbers
    await servers.record(heartbeat("a", number=first, draining=False), NOON)
    await servers.record(heartbeat("a", number=second, draining=True), NOON - 10 * SECOND)

    [known] = await servers.seen_since(NOON - 10 * SECOND)

    assert (known.draining, known.last_heartbeat) == (True, NOON - 10 * SECOND)


async def test_memory_is_bounded_and_forgets_the_one_silent_for_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.memory_agent_servers._MOST_SERVERS", 3)
    servers = MemoryAgentServers()
    for number, name in enumerate(("a", "b", "c", "a", "d")):
        await servers.record(heartbeat(name), NOON + number * SECOND)

    known = await servers.seen_since(NOON)

    assert [server.server_id for server in known] == ["a", "c", "d"]


async def test_the_watchdog_sees_when_each_server_was_last_heard(archive: MongoArchive) -> None:
    signs = archive.agent_servers
    await signs.record(heartbeat("a", jobs=[JobTick(job_id="AJ_1")]), NOON)
    await signs.record(heartbeat("b"), NOON + SECOND)

    assert await signs.last_heartbeats() == {"a": NOON, "b": NOON + SECOND}
    await signs.dealt_with("a", NOON - SECOND)
    assert "a" in await signs.last_heartbeats(), "it was heard meanwhile"
    await signs.dealt_with("a", NOON)
    assert await signs.last_heartbeats() == {"b": NOON + SECOND}
    known = await signs.server("a")
    assert known is not None
    assert [job.job_id for job in known.jobs] == ["AJ_1"]
    assert await signs.server("nobody") is None
    await signs.record(heartbeat("a"), NOON + 2 * SECOND)
    assert (await signs.last_heartbeats())["a"] == NOON + 2 * SECOND


async def test_a_server_that_comes_back_is_told_which_jobs_to_stop(archive: MongoArchive) -> None:
    signs = archive.agent_servers
    jobs = [JobTick(job_id="AJ_1"), JobTick(job_id="AJ_2")]
    assert await signs.record(heartbeat("a", jobs=jobs), NOON) == []
    await signs.condemn("a", ["AJ_1", "AJ_gone"], NOON)
    later = [*jobs, JobTick(job_id="AJ_3")]

    assert await signs.record(heartbeat("a", jobs=later), NOON + SECOND) == ["AJ_1"]
    assert await signs.record(heartbeat("a", jobs=later), NOON + 2 * SECOND) == ["AJ_1"]
    assert await signs.record(heartbeat("a", jobs=later[1:]), NOON + 3 * SECOND) == []
    assert await signs.record(heartbeat("b", jobs=jobs), NOON) == []


def _job(caller: str | None, attempt: int = 1, org: str = "acme") -> JobTick:
    return JobTick(
        job_id=f"AJ_{attempt}", org=org, session_id="call-1", attempt=attempt, caller=caller
    )


async def test_agents_say_whether_they_see_their_callers(archive: MongoArchive) -> None:
    servers, key = archive.agent_servers, SessionKey("acme", "call-1")
    unheard = await servers.caller_seen(key)
    await servers.record(heartbeat("old", jobs=[_job(None)]), NOON)
    unsaid = await servers.caller_seen(key)
    await servers.record(heartbeat("a", jobs=[_job("")]), NOON)
    gone = await servers.caller_seen(key)
    await servers.record(heartbeat("b", jobs=[_job("PA_1", 2), _job("PA_2", org="globex")]), NOON)
    here = await servers.caller_seen(key)

    assert (unheard, unsaid, gone, here) == (None, None, "", "PA_1")


async def test_a_server_that_the_watchdog_found_dead_says_nothing(archive: MongoArchive) -> None:
    servers, key = archive.agent_servers, SessionKey("acme", "call-1")
    await servers.record(heartbeat("a", jobs=[_job("PA_1")]), NOON)
    await servers.dealt_with("a", NOON)

    assert await servers.caller_seen(key) is None
