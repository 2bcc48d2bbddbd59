"""Agents that are lost, or replaced on request, while their agent server is nearly full."""

import asyncio
from collections.abc import AsyncGenerator

import httpx
import pytest

from domain.ids import SessionKey
from domain.sessions.session import Outcome, SessionState, SessionStatus
from tests.harness.agent_servers import FewPlaces, few_places
from tests.harness.client import StartedSession
from tests.harness.rig import Rig
from tests.waiting import eventually

PLACES = 4
LIMITS = {"caller_wait": 600.0, "join_attempts": 1.0, "join_timeout": 60.0}


@pytest.fixture(scope="module")
async def few(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[FewPlaces]:
    """The one agent server of the stack, with a few places."""
    async with few_places(rig, tmp_path_factory.mktemp("few"), PLACES) as server:
        yield server


@pytest.fixture
async def server(rig: Rig, few: FewPlaces) -> FewPlaces:
    """The same, with all its places free."""
    await room_for(rig, PLACES)
    return few


async def open_calls(rig: Rig, count: int) -> list[StartedSession]:
    """So many sessions, each with its agent in the room at the first attempt."""
    calls = [await rig.client.start(wait="joined", limits=LIMITS) for _ in range(count)]
    for call in calls:
        rig.know(call.key)
        assert (await rig.client.status(call.key.session_id)).attempt == 1
    return calls


async def replaced_at_once(rig: Rig, server: FewPlaces, key: SessionKey) -> None:
    """Kill a call's agent; the first dispatch after it, the only one allowed, brings another."""
    before = await rig.client.status(key.session_id)
    (await server.job(key, before.attempt)).kill()
    after = await rig.client.until(
        key.session_id, 120, joins=before.joins + 1, state=SessionState.LIVE
    )
    assert after.attempt == before.attempt + 1


async def redispatch(rig: Rig, key: SessionKey) -> httpx.Response:
    """Ask for another agent."""
    return await rig.client.http.post(f"/v1/sessions/{key.session_id}/redispatch")


async def room_for(rig: Rig, calls: int) -> None:
    """Wait until `/health/agent` says that there is room for so many calls."""

    async def told() -> bool:
        health = (await rig.client.http.get("/health/agent")).json()
        return f"room for {calls} calls" in health["agents"]["detail"]

    await eventually(told, 30, f"room for {calls} calls")


async def test_a_killed_agent_is_replaced_at_once_however_full_its_server_is(
    rig: Rig, server: FewPlaces
) -> None:
    calls = await open_calls(rig, PLACES - 1)
    await replaced_at_once(rig, server, calls[0].key)

    calls += await open_calls(rig, 1)
    await replaced_at_once(rig, server, calls[1].key)

    for call in calls:
        await rig.client.end(call.key.session_id)
        await rig.client.closed(call.key.session_id)


async def test_a_redispatch_without_a_free_place_leaves_the_call_as_it_is(
    rig: Rig, server: FewPlaces
) -> None:
    calls = await open_calls(rig, PLACES)
    key, room = calls[0].key, calls[0].room
    await room_for(rig, 0)
    before = await rig.client.status(key.session_id)
    [agent] = await rig.rooms.agents(room)

    refused = await redispatch(rig, key)

    assert (refused.status_code, refused.json()["code"]) == (503, "no_capacity")
    assert int(refused.headers["Retry-After"]) > 0
    assert "EVERLINE_MAX_JOBS" in refused.json()["errors"][0]["cure"]
    after = await rig.client.status(key.session_id)
    assert seen(after) == seen(before)
    assert [each.identity for each in await rig.rooms.agents(room)] == [agent.identity]

    await rig.client.end(calls[1].key.session_id)
    await rig.client.closed(calls[1].key.session_id)
    await room_for(rig, 1)
    assert (await redispatch(rig, key)).is_success
    replaced = await rig.client.until(key.session_id, 120, joins=2, state=SessionState.LIVE)
    assert replaced.attempt == 2

    for call in calls:
        await rig.client.end(call.key.session_id)
        await rig.client.closed(call.key.session_id)


def seen(status: SessionStatus) -> SessionStatus:
    """What tells whether anything happened to a session."""
    return status.model_copy(update={"version": 0})


async def test_of_a_storm_of_starts_each_joins_in_its_turn_or_is_refused_at_once(
    rig: Rig, server: FewPlaces
) -> None:
    body = {"limits": {"caller_wait": 600, "queue_seconds": 600, "join_attempts": 1}}

    async def start() -> httpx.Response:
        return await rig.client.http.post(
            "/v1/sessions/start", json=body, params={"wait": "accepted"}
        )

    answers = await asyncio.gather(*(start() for _ in range(3 * PLACES)))

    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.json()["code"] for answer in refused} <= {"no_capacity"}
    admitted = [answer.json() for answer in answers if answer.status_code == 202]
    keys = [SessionKey("local", one["session_id"]) for one in admitted]
    for key in keys:
        rig.know(key)
    waiting = [one["session_id"] for one in admitted if one["queue_position"]]
    # How many may wait depends on how soon the calls before have released their places.
    assert len(admitted) - len(waiting) == PLACES
    assert len(refused) + len(waiting) == 2 * PLACES
    assert len(waiting) >= PLACES
    impatient = {"limits": {"queue_seconds": 0}}
    answer = await rig.client.http.post("/v1/sessions/start", json=impatient)
    assert (answer.status_code, answer.json()["code"]) == (503, "no_capacity")
    assert int(answer.headers["Retry-After"]) > 0
    first = [key for key in keys if key.session_id not in waiting]
    for key in first:
        joined = await rig.client.until(key.session_id, 120, joins=1, state=SessionState.LIVE)
        assert joined.attempt == 1
    for session_id in waiting:
        queued = await rig.client.status(session_id)
        assert (queued.state, queued.attempt) == (SessionState.QUEUED, 0)
    load = (await rig.client.http.get("/health/agent")).json()["load"]
    assert (load["reserved"], load["queued"]) == (PLACES, len(waiting))

    for key in first:
        await rig.client.end(key.session_id)

    async def joins_and_ends(session_id: str) -> None:
        joined = await rig.client.until(session_id, 120, joins=1, state=SessionState.LIVE)
        assert joined.attempt == 1, "waiting has used no attempt"
        await rig.client.end(session_id)

    await asyncio.gather(*map(joins_and_ends, waiting))
    for key in keys:
        closed = await rig.client.closed(key.session_id)
        assert closed.outcome is Outcome.CALLER_NEVER_JOINED

    async def nothing_is_held() -> bool:
        load = (await rig.client.http.get("/health/agent")).json()["load"]
        return (load["reserved"], load["queued"]) == (0, 0)

    await eventually(nothing_is_held, 30, "all places are released")
