"""The watchdog: only silence on an open path is a death, and each server gets its full time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from adapters.temporal.directory import TemporalSessionDirectory
from domain.agents.servers import AgentServer, JobTick
from domain.errors import StorageUnavailable, Unavailable
from domain.ids import SessionKey
from domain.sessions.messages import AgentLost
from services.agents.watchdog import Watchdog
from tests.fakes.reapers import reaper_of
from tests.waiting import eventually
from tests.workflows.calls import Studio
from worker.watchdog import watching

SILENCE = 6.0
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@dataclass
class World:
    """Agent servers, the path to the API and Temporal, on one clock in seconds."""

    now: float = 1_000.0
    servers: dict[str, AgentServer] = field(default_factory=dict[str, AgentServer])
    path_is_open: bool = True
    storage_answers: bool = True
    temporal_answers: bool = True
    stuck: set[str] = field(default_factory=set[str])
    """Sessions of which Temporal says nothing."""
    late_answer: dict[str, datetime] | None = None
    """What the list of servers says although it is not true any more."""
    skew: timedelta = timedelta(0)
    """How far the API's clock is ahead of the others'."""
    condemned: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    told: list[tuple[SessionKey, AgentLost]] = field(
        default_factory=list[tuple[SessionKey, AgentLost]]
    )
    aside: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """Servers that were dealt with, by their last heartbeats."""
    asked_for: list[str] = field(default_factory=list[str])

    def hear(self, server_id: str, *jobs: JobTick) -> None:
        """A heartbeat arrives."""
        at = NOON + timedelta(seconds=self.now) + self.skew
        self.servers[server_id] = AgentServer(
            server_id=server_id,
            agent_name="tester",
            max_jobs=4,
            draining=False,
            jobs=list(jobs),
            last_heartbeat=at,
        )

    async def prove(self) -> None:
        if not self.path_is_open:
            raise Unavailable("the API does not answer")

    async def last_heartbeats(self) -> dict[str, datetime]:
        if not self.storage_answers:
            raise StorageUnavailable("MongoDB does not answer")
        if self.late_answer is not None:
            return self.late_answer
        return {
            name: server.last_heartbeat
            for name, server in self.servers.items()
            if self.aside.get(name) != server.last_heartbeat
        }

    async def dealt_with(self, server_id: str, last_heartbeat: datetime) -> None:
        self.aside[server_id] = last_heartbeat

    async def server(self, server_id: str) -> AgentServer | None:
        self.asked_for.append(server_id)
        return self.servers.get(server_id)

    async def condemn(self, server_id: str, job_ids: Sequence[str], at: datetime) -> None:
        self.condemned[server_id] = list(job_ids)

    async def tell_agent_is_lost(self, key: SessionKey, loss: AgentLost) -> None:
        if not self.temporal_answers or key.session_id in self.stuck:
            raise Unavailable("Temporal does not answer")
        self.told.append((key, loss))


class Shift:
    """Time goes by: alive servers are heard every two seconds, the watchdog looks each second."""

    def __init__(self) -> None:
        self.world = World()
        self.dog = Watchdog(
            self.world, self.world, self.world, SILENCE, clock=lambda: self.world.now
        )
        self.alive: dict[str, list[JobTick]] = {}
        self._seconds = 0

    def starts(self, server_id: str, *jobs: JobTick) -> None:
        self.alive[server_id] = list(jobs)
        self.world.hear(server_id, *jobs)

    async def passes(self, seconds: int, *, watched: bool = True) -> list[str]:
        """Let time pass; returns the servers that were found dead in it."""
        found: list[str] = []
        for _ in range(seconds):
            self.world.now += 1
            self._seconds += 1
            if self._seconds % 2 == 0 and self.world.path_is_open and self.world.storage_answers:
                for server_id, jobs in self.alive.items():
                    self.world.hear(server_id, *jobs)
            if watched:
                try:
                    found += await self.dog.look()
                except Unavailable:
                    continue
        return found


def job(number: int, attempt: int | None = 1) -> JobTick:
    return JobTick(job_id=f"AJ_{number}", org="acme", session_id=f"call-{number}", attempt=attempt)


@pytest.fixture
def shift() -> Shift:
    return Shift()


async def test_a_silent_servers_calls_are_told_and_its_jobs_condemned(shift: Shift) -> None:
    shift.starts("a", job(1), job(2, attempt=3), JobTick(job_id="AJ_of_somebody_else"))
    shift.starts("b", job(9))
    assert await shift.passes(10) == []
    del shift.alive["a"]

    assert await shift.passes(9) == ["a"]

    assert shift.world.condemned == {"a": ["AJ_1", "AJ_2", "AJ_of_somebody_else"]}
    assert [(key.session_id, loss.attempt, loss.job_id) for key, loss in shift.world.told] == [
        ("call-1", 1, "AJ_1"),
        ("call-2", 3, "AJ_2"),
    ]
    assert "silent" in shift.world.told[0][1].reason


async def test_a_loss_tells_what_the_last_heartbeat_knew_of_the_caller(shift: Shift) -> None:
    waits = job(2).model_copy(update={"unanswered": True})
    shift.starts("a", job(1), waits)
    await shift.passes(4)
    del shift.alive["a"]
    await shift.passes(9)

    assert [(loss.job_id, loss.unanswered) for _, loss in shift.world.told] == [
        ("AJ_1", False),
        ("AJ_2", True),
    ]


async def test_only_dead_servers_are_asked_for_once_each(shift: Shift) -> None:
    for name in ("a", "b", "c"):
        shift.starts(name, job(1))
    await shift.passes(5)
    del shift.alive["b"]

    await shift.passes(60)

    assert shift.world.asked_for == ["b"]
    assert len(shift.world.told) == 1


async def test_what_was_dealt_with_is_left_alone_by_the_next_watchdog(shift: Shift) -> None:
    shift.starts("a", job(1))
    await shift.passes(4)
    del shift.alive["a"]
    assert await shift.passes(9) == ["a"]
    shift.dog = Watchdog(
        shift.world, shift.world, shift.world, SILENCE, clock=lambda: shift.world.now
    )

    assert await shift.passes(20) == []
    assert len(shift.world.told) == 1


async def test_one_heartbeat_that_is_lost_on_its_way_is_no_death(shift: Shift) -> None:
    shift.starts("a", job(1))
    await shift.passes(4)
    jobs = shift.alive.pop("a")
    await shift.passes(2)
    shift.alive["a"] = jobs

    assert await shift.passes(20) == []


@pytest.mark.parametrize("part", ["path_is_open", "storage_answers"])
@pytest.mark.parametrize("seconds", [1, 3, 5, 15, 60])
async def test_an_outage_of_the_way_is_nobodys_death(shift: Shift, part: str, seconds: int) -> None:
    shift.starts("a", job(1))
    await shift.passes(10)
    setattr(shift.world, part, False)
    assert await shift.passes(seconds) == []
    setattr(shift.world, part, True)

    # The first heartbeat after an outage may be late.
    jobs = shift.alive.pop("a")
    assert await shift.passes(3) == []
    shift.alive["a"] = jobs
    assert await shift.passes(20) == []


@pytest.mark.parametrize("part", ["path_is_open", "storage_answers"])
@pytest.mark.parametrize("seconds", [4, 5, 15, 60])
async def test_who_dies_in_an_outage_is_found_some_seconds_after_it(
    shift: Shift, part: str, seconds: int
) -> None:
    shift.starts("a", job(1))
    shift.starts("b", job(2))
    await shift.passes(10)
    setattr(shift.world, part, False)
    del shift.alive["a"]
    assert await shift.passes(seconds) == []
    setattr(shift.world, part, True)

    assert await shift.passes(4) == []
    assert await shift.passes(2) == ["a"]
    assert await shift.passes(20) == []


async def test_who_is_heard_after_an_outage_may_be_silent_for_the_full_time(shift: Shift) -> None:
    shift.starts("a", job(1))
    await shift.passes(10)
    shift.world.path_is_open = False
    await shift.passes(15)
    shift.world.path_is_open = True
    await shift.passes(3)
    del shift.alive["a"]

    assert await shift.passes(5) == []
    assert await shift.passes(3) == ["a"]


async def test_a_longer_silence_is_allowed_after_an_outage_as_well(shift: Shift) -> None:
    shift.dog.longest_silence = 60
    shift.starts("a", job(1))
    await shift.passes(10)
    shift.world.path_is_open = False
    del shift.alive["a"]
    await shift.passes(15)
    shift.world.path_is_open = True

    assert await shift.passes(39) == []
    assert await shift.passes(3) == ["a"]


async def test_a_watchdog_that_slept_gives_everybody_full_time(shift: Shift) -> None:
    shift.starts("a", job(1))
    await shift.passes(10)
    jobs = shift.alive.pop("a")
    await shift.passes(15, watched=False)

    assert await shift.passes(int(SILENCE)) == []
    shift.alive["a"] = jobs
    assert await shift.passes(20) == []


async def test_a_watchdog_that_has_just_started_gives_everybody_full_time(shift: Shift) -> None:
    shift.world.hear("old", job(1))
    shift.world.now += 300

    assert await shift.passes(int(SILENCE)) == []
    assert await shift.passes(2) == ["old"]


@pytest.mark.parametrize("hours", [-5, 5])
async def test_clocks_of_others_do_not_matter(shift: Shift, hours: int) -> None:
    shift.world.skew = timedelta(hours=hours)
    shift.starts("a", job(1))
    shift.starts("b", job(2))
    assert await shift.passes(20) == []
    del shift.alive["b"]

    assert await shift.passes(9) == ["b"]


async def test_an_api_whose_clock_is_set_back_is_nobodys_death(shift: Shift) -> None:
    shift.starts("a", job(1))
    await shift.passes(10)
    shift.world.skew = timedelta(hours=-1)

    assert await shift.passes(20) == []


async def test_a_server_that_comes_back_and_dies_again_is_found_again(shift: Shift) -> None:
    shift.starts("a", job(1))
    await shift.passes(4)
    jobs = shift.alive.pop("a")
    assert await shift.passes(9) == ["a"]
    shift.alive["a"] = jobs
    assert await shift.passes(9) == []
    del shift.alive["a"]

    assert await shift.passes(9) == ["a"]


async def test_what_temporal_does_not_take_is_told_again(shift: Shift) -> None:
    shift.starts("a", job(1))
    await shift.passes(4)
    del shift.alive["a"]
    shift.world.temporal_answers = False
    await shift.passes(12)
    assert shift.world.condemned == {"a": ["AJ_1"]}
    assert shift.world.told == []
    shift.world.temporal_answers = True

    await shift.passes(3)

    assert [loss.event_id for _, loss in shift.world.told] == ["lost:1:AJ_1"]


async def test_a_session_that_cannot_be_told_keeps_no_other_from_being_told(shift: Shift) -> None:
    shift.starts("a", job(1), job(2))
    shift.starts("b", job(3))
    await shift.passes(4)
    shift.alive.clear()
    shift.world.stuck = {"call-1"}

    await shift.passes(9)
    assert [key.session_id for key, _ in shift.world.told] == ["call-2", "call-3"]
    shift.world.stuck.clear()
    await shift.passes(3)

    assert [key.session_id for key, _ in shift.world.told] == ["call-2", "call-3", "call-1"]


async def test_a_server_that_has_stopped_leaves_nobody_behind(shift: Shift) -> None:
    shift.starts("a", job(1))
    await shift.passes(4)
    del shift.alive["a"]
    shift.world.hear("a")

    await shift.passes(20)

    assert shift.world.told == []
    assert shift.world.condemned == {}


async def test_a_heartbeat_in_the_last_moment_counts(shift: Shift) -> None:
    shift.starts("a", job(1))
    await shift.passes(4)
    del shift.alive["a"]
    await shift.passes(5)
    shift.world.late_answer = await shift.world.last_heartbeats()
    shift.world.hear("a", job(1))

    await shift.passes(3)

    assert shift.world.asked_for == ["a"] * 3
    assert shift.world.told == []


class FaultyLease:
    """Is held from the second time on; the first one meets a fault of ours."""

    def __init__(self) -> None:
        self.asked = 0

    async def hold(self) -> bool:
        self.asked += 1
        if self.asked == 1:
            raise KeyError("a fault")
        return True

    async def release(self) -> None:
        """Not called: the watchdog's lease ends by itself."""


async def test_a_fault_in_one_look_does_not_blind_the_watch(studio: Studio) -> None:
    shift, lease = Shift(), FaultyLease()
    reaper = reaper_of(studio.rooms, TemporalSessionDirectory(studio.client), None)
    async with watching(lease, shift.dog, reaper):
        await eventually(lambda: lease.asked > 2, 60, "it looks again")
