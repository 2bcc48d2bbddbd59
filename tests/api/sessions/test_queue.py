"""Sessions that wait for agents: whose turn it is, and what everybody is told meanwhile."""

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from domain.ids import session_workflow_id
from domain.sessions.session import LONGEST_QUEUE, Outcome, SessionState
from services.agents.queue import serve_queue
from tests.api.door import is_problem
from tests.api.house import House, unique
from tests.api.sessions.fleet import LIMITS, Client, Fleet, Server, admission_of, fleet_of
from tests.waiting import eventually

# Sessions start, join and end by the dozen on a busy machine.
pytestmark = pytest.mark.timeout(240)

STORM, ROOM_FOR = 20, 5


@pytest.fixture
async def fleet(house: House) -> AsyncGenerator[Fleet]:
    """One agent server with one place."""
    async with fleet_of(house, 1) as fleet:
        yield fleet


@pytest.fixture
async def acme(fleet: Fleet) -> Client:
    return await fleet.tenant()


async def test_a_storm_of_starts(house: House) -> None:
    async with fleet_of(house, ROOM_FOR) as fleet:
        acme = await fleet.tenant()
        names = [f"s{number:02}" for number in range(STORM)]

        answers = await asyncio.gather(*(acme.start(name) for name in names))

        admitted = [answer.json() for answer in answers if answer.status_code == 202]
        refused = [answer for answer in answers if answer.status_code != 202]
        assert len(admitted) == 2 * ROOM_FOR
        assert all(is_problem(answer, 503, "no_capacity") for answer in refused)
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
        places = {one["session_id"]: one["queue_position"] for one in admitted}
        first = [name for name, position in places.items() if position is None]
        queued = sorted((position, name) for name, position in places.items() if position)
        assert [position for position, _ in queued] == list(range(1, ROOM_FOR + 1))
        for name in first:
            await acme.until(name, joins=1)
        load = await fleet.load()
        assert (load["size"], load["reserved"], load["queued"]) == (ROOM_FOR, ROOM_FOR, ROOM_FOR)
        await fleet.balances()

        # As calls end, those that wait join in their order.
        joined: list[datetime] = []
        for ending, (_, joining) in zip(first, queued, strict=True):
            await acme.end(ending)
            status = await acme.until(joining, joins=1)
            assert (status.attempt, status.joined_at is None) == (1, False)
            joined.append(status.joined_at or datetime.now(UTC))
        assert joined == sorted(joined)
        for _, name in queued:
            await acme.end(name)
        for name in places:
            closed = await acme.until(name, state=SessionState.CLOSED)
            assert closed.outcome is Outcome.COMPLETED
        await fleet.is_empty()
        assert (fleet.dropped, fleet.most) == ([], ROOM_FOR)


async def test_orgs_take_turns(fleet: Fleet) -> None:
    big, small, other = [await fleet.tenant(unique(name)) for name in ("big", "small", "other")]
    await fleet.resize(4)
    for number in range(4):
        await big.live(f"live-{number}")
    for number in range(3):
        await big.start(f"big-{number}")
    await small.start("small-0")
    await other.start("other-0")
    await big.until("big-0", queue_position=3)
    await small.until("small-0", queue_position=1)
    await other.until("other-0", queue_position=2)

    turns = [(small, "small-0"), (other, "other-0"), (big, "big-0"), (big, "big-1")]
    for number, (org, name) in enumerate(turns):
        await big.end(f"live-{number}")
        await org.until(name, joins=1)
    await big.until("big-2", queue_position=1)
    await fleet.balances()


async def test_everybody_is_told_where_a_session_stands(fleet: Fleet, acme: Client) -> None:
    await fleet.resize(2)
    for name in ("zeroth", "first"):
        await acme.live(name)
    started = (await acme.start("second")).json()
    assert (started["queue_position"], started["agent_dispatched"]) == (1, False)
    assert (await acme.start("third")).json()["queue_position"] == 2
    status = await acme.until("third", queue_position=2)
    assert (status.state, status.waiting_for) == ("queued", "agent_capacity")
    details = await _details(fleet, acme, "third")
    assert "**queued**, waiting for **agent_capacity**" in details
    assert "position 2 in the queue" in details

    events = asyncio.create_task(_events(acme, "third"))
    await acme.end("second")
    await acme.until("third", queue_position=1)
    assert "position 1 in the queue" in await _details(fleet, acme, "third")
    await acme.end("first")
    await acme.until("third", joins=1)
    await acme.end("third")

    states = [data for name, data in await events if name == "state"]
    assert ("queued", 1) in [(data["state"], data["queue_position"]) for data in states]
    assert (states[-1]["state"], states[-1]["queue_position"]) == ("closed", None)


async def _details(fleet: Fleet, client: Client, name: str) -> str:
    """The current details of a session in the Temporal UI."""
    handle = fleet.house.temporal.get_workflow_handle(session_workflow_id(client.key(name)))
    metadata: Any = await handle.query("__temporal_workflow_metadata")
    return str(metadata.current_details)


async def _events(client: Client, name: str) -> list[tuple[str, dict[str, Any]]]:
    """All events of a session's stream."""
    answer = await client.http.get(f"/v1/sessions/{name}/events")
    found: list[tuple[str, dict[str, Any]]] = []
    for block in answer.text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


async def test_the_same_start_while_queued_is_the_same_session_where_it_stands(
    fleet: Fleet, acme: Client
) -> None:
    await fleet.resize(2)
    for name in ("zeroth", "first"):
        await acme.live(name)
    await acme.start("second")
    before = (await acme.start("third")).json()
    again = (await acme.start("third")).json()
    assert (again["session_id"], again["queue_position"]) == ("third", 2)
    # Each has a token of its own: the first may expire while the session waits.
    for answer in (before, again):
        claims = jwt.decode(answer["livekit_token"], options={"verify_signature": False})
        assert claims["video"]["room"] == before["room_name"]
    assert len(await fleet.house.archive.places.of_name(fleet.name)) == 2

    # While a start waits for the agent, another session leaves the queue.
    body, stage = {"session_id": "third", "limits": LIMITS}, {"wait": "dispatched"}
    waits = asyncio.create_task(acme.http.post("/v1/sessions/start", json=body, params=stage))
    await acme.end("second")
    answer = await waits
    assert answer.status_code == 202
    assert (answer.json()["session_id"], answer.json()["queue_position"]) == ("third", 1)
    await fleet.balances()


async def test_how_long_a_session_may_wait(fleet: Fleet, acme: Client) -> None:
    await acme.live("first")
    assert is_problem(await acme.start("impatient", queue_seconds=0), 503, "no_capacity")
    answer = await acme.start("too-patient", queue_seconds=LONGEST_QUEUE + 1)
    assert is_problem(answer, 422, "invalid_input")
    await acme.start("patient", queue_seconds=LONGEST_QUEUE)
    room = (await acme.until("patient", state=SessionState.QUEUED)).room_name
    assert fleet.house.rooms.rooms[room].empty_timeout > LONGEST_QUEUE

    await acme.end("patient")
    assert (await acme.until("patient", state=SessionState.CLOSED)).outcome is Outcome.CANCELLED
    await acme.start("brief", queue_seconds=0.5)
    closed = await acme.until("brief", state=SessionState.CLOSED)
    assert (closed.outcome, closed.attempt) == (Outcome.NO_CAPACITY, 0)
    await fleet.balances()


async def test_whatever_ends_a_session_in_the_queue_takes_it_out(
    fleet: Fleet, house: House, acme: Client
) -> None:
    await fleet.resize(3)
    for name in ("a", "b", "c"):
        await acme.live(name)
    for name in ("ended", "cancelled", "terminated"):
        await acme.start(name)
        await acme.until(name, state=SessionState.QUEUED)

    await acme.end("ended")
    await house.temporal.get_workflow_handle(session_workflow_id(acme.key("cancelled"))).cancel()
    await house.terminate(acme.key("terminated"))

    await acme.until("cancelled", outcome=Outcome.CANCELLED)
    await fleet.balances()
    assert await house.archive.places.queue() == []
    for name in ("a", "b", "c"):
        await acme.end(name)
    await fleet.is_empty()


async def test_an_agent_server_that_comes_up_is_used(fleet: Fleet, acme: Client) -> None:
    await acme.live("first")
    await acme.start("second")
    await acme.until("second", state=SessionState.QUEUED)

    fleet.servers["two"] = Server(1)

    await acme.until("second", joins=1)
    assert (await fleet.load())["size"] == 2
    await fleet.balances()


async def test_a_session_in_the_queue_counts_towards_the_quota(house: House) -> None:
    async with fleet_of(house, 1, quota=house.quota(2)) as fleet:
        acme = await fleet.tenant()
        await acme.live("first")
        for number in range(4):
            refused = await acme.start(f"impatient-{number}", queue_seconds=0)
            assert is_problem(refused, 503, "no_capacity"), "a refused start holds no slot"
        assert (await acme.start("second")).json()["queue_position"] == 1
        assert is_problem(await acme.start("third"), 429, "session_quota_exceeded")

        await acme.end("second")
        await acme.until("second", state=SessionState.CLOSED)

        async def one_is_left() -> bool:
            taken = await house.archive.slots.taken(acme.org)
            return [slot.session_id for slot in taken] == ["first"]

        await eventually(one_is_left)
        await fleet.balances()


async def test_another_api_process_serves_the_queue_when_one_is_killed(house: House) -> None:
    async with fleet_of(house, 3, serving=False) as fleet:
        # Both serve it at times: the lease of one ends before it is renewed.
        leases = [house.archive.lease(fleet.name, holder, seconds=0.5) for holder in ("x", "y")]
        serving = [asyncio.create_task(serve_queue(admission_of(house), lease)) for lease in leases]
        acme = await fleet.tenant()
        for name in ("a", "b", "c"):
            await acme.live(name)
        for name in ("d", "e", "f"):
            await acme.start(name)
            await acme.until(name, state=SessionState.QUEUED)

        await acme.end("a")
        await acme.until("d", joins=1)
        serving[0].cancel()
        await acme.end("b")
        await acme.until("e", joins=1)
        # No process serves it for a while, and a new one finds it as it was.
        await acme.until("f", queue_position=1)
        serving[1].cancel()
        await acme.end("c")
        await acme.until("c", state=SessionState.CLOSED)
        assert (await acme.status("f")).state is SessionState.QUEUED
        serving.append(asyncio.create_task(serve_queue(admission_of(house), leases[0])))
        await acme.until("f", joins=1)

        assert (fleet.dropped, fleet.most) == ([], 3)
        await fleet.balances()
        serving[2].cancel()
