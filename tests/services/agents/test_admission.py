"""Who gets a place on an agent server, who waits, and who is refused at once."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from adapters.memory_agent_servers import MemoryAgentServers
from domain.access.quotas import Life
from domain.agents.config import AgentConfig
from domain.agents.places import PlaceState, Waiting
from domain.agents.servers import Heartbeat, JobTick
from domain.errors import EverlineError, InvalidInput, MessageRefused, NoCapacity, RoomNameTaken
from domain.ids import SessionKey
from domain.sessions.messages import PlaceChanged
from domain.sessions.session import SessionInput, SessionState, SessionStatus, WaitingFor
from services.agents.admission import CHECKED_AFTER, STARTED_WITHIN, Admission, Admitted
from tests.fakes.places import MemoryPlaces

NAME = "agents"


@dataclass
class Workflows:
    """The sessions' workflows: which ones there are, and what they were told."""

    lives: dict[SessionKey, Life] = field(default_factory=dict[SessionKey, Life])
    told: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    refusing: set[str] = field(default_factory=set[str])
    states: dict[SessionKey, SessionState] = field(default_factory=dict[SessionKey, SessionState])
    external: set[SessionKey] = field(default_factory=set[SessionKey])

    async def signal(self, key: SessionKey, message: PlaceChanged) -> bool:
        """As of the port `Sessions`."""
        if key.session_id in self.refusing:
            raise MessageRefused("Temporal takes no message for this session: test")
        if await self.life(key) is not Life.OPEN:
            return False
        self.told.append((key.session_id, message.position))
        return True

    async def status(self, key: SessionKey) -> SessionStatus:
        """As of the port `Sessions`."""
        state = self.states.get(key, SessionState.LIVE)
        return SessionStatus(
            **key._asdict(),
            room_name="room",
            state=state,
            waiting_for=WaitingFor.NOTHING,
            version=1,
            agent_name=NAME,
            foreign_agent=key in self.external,
            started_at=datetime.now(UTC),
        )

    async def life(self, key: SessionKey) -> Life:
        """As of the port `SessionLives`."""
        return self.lives.get(key, Life.UNKNOWN)

    async def open_ids(self, org: str) -> set[str]:
        """As of the port `SessionLives`."""
        return {key.session_id for key, life in self.lives.items() if life is Life.OPEN}


class Fleet:
    """One agent server, its sessions, and what admits them."""

    def __init__(self) -> None:
        self.servers = MemoryAgentServers()
        self.places = MemoryPlaces()
        self.workflows = Workflows()
        # Of the port `Sessions`, only signals are needed.
        self.admission = Admission(self.servers, self.places, self.workflows, self.workflows)  # pyright: ignore[reportArgumentType]
        self._beats = 0

    async def reports(
        self, *sessions: str, max_jobs: int = 2, server: str = "one", draining: bool = False
    ) -> None:
        """An agent server's heartbeat: it runs these sessions' agents."""
        self._beats += 1
        jobs = [JobTick(job_id=f"job-{s}", org="acme", session_id=s, attempt=1) for s in sessions]
        beat = Heartbeat(
            server_id=server,
            number=self._beats,
            agent_name=NAME,
            max_jobs=max_jobs,
            draining=draining,
            jobs=jobs,
        )
        await self.servers.record(beat, datetime.now(UTC))

    async def starts(self, name: str, *, org: str = "acme", queue_seconds: float = 30) -> Admitted:
        """A start, whose workflow begins if it is admitted."""
        key = SessionKey(org, name)
        admitted = await self.admission.admit(key, NAME, queue_seconds)
        self.workflows.lives[key] = Life.OPEN
        return admitted

    async def refused_start(self, name: str) -> PlaceState | None:
        """A start that is refused after it was admitted; returns what it had got."""
        admitted = Admitted(None)
        with suppress(RoomNameTaken):
            async with self.admission.place(SessionKey("acme", name), NAME, 30) as admitted:
                raise RoomNameTaken("the room belongs to another session")
        return admitted.state

    async def ends(self, name: str, *, org: str = "acme") -> None:
        """The session's call is over."""
        await self.places.release(SessionKey(org, name))

    def ages(self, by: timedelta) -> None:
        """Time passes for all who hold a place or wait."""
        for claims in (self.places.held, self.places.waiting):
            for key, claim in claims.items():
                older = {"claimed_at": claim.claimed_at - by}
                # The checker cannot tell that each model goes back where it came from.
                claims[key] = claim.model_copy(update=older)  # pyright: ignore[reportArgumentType]


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


async def test_without_agent_servers_nothing_is_reserved(fleet: Fleet) -> None:
    assert (await fleet.starts("a")).state is None
    assert (fleet.places.held, fleet.places.waiting) == ({}, {})


async def test_while_mongodb_is_away_sessions_start_without_a_place(fleet: Fleet) -> None:
    await fleet.reports()
    fleet.places.away = True
    answers = await asyncio.gather(*(fleet.starts(f"s{number}") for number in range(10)))
    assert {answer.state for answer in answers} == {None}
    assert fleet.places.asked <= 3, "the others do not wait for MongoDB one after the other"


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
