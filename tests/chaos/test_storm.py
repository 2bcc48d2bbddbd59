"""Storms: several calls while one thing after the other dies, and far more starts than places.

What dies is chosen by a seed that is printed.
"""

import asyncio
import os
import random
import signal
from pathlib import Path

import httpx
import pytest

from domain.ids import SessionKey
from domain.sessions.session import Outcome, SessionState
from tests.harness.agent_servers import few_places
from tests.harness.call import Call
from tests.harness.rig import Rig
from tests.invariants import require_places_balance
from tests.waiting import eventually

STARTS, PLACES = 40, 10
CALLS = 3
BLOWS = 8
TARGETS = ("api", "worker", "temporal", "mongodb", "job")
SEED = "EVERLINE_CHAOS_SEED"


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_calls_outlive_a_storm(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get(SEED) or random.randrange(1_000_000))
    with capsys.disabled():
        print(f"\n{SEED}={seed}")  # noqa: T201 - how a failure is repeated
    chosen = random.Random(seed)
    over = asyncio.Event()
    names = [f"storm-{seed}-{number}" for number in range(CALLS)]
    calls = [asyncio.create_task(_talk(rig, name, over)) for name in names]
    try:
        for _ in range(BLOWS):
            await asyncio.sleep(chosen.uniform(0.5, 4))
            await _strike(rig, chosen)
    finally:
        over.set()
    for call in await asyncio.gather(*calls):
        closed = await rig.client.closed(call.session_id, 120)
        assert closed.outcome in (
            *(Outcome.COMPLETED, Outcome.REPORT_MISSING, Outcome.AGENT_LOST),
        ), closed


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_of_many_starts_each_joins_in_its_turn_or_is_refused(
    rig: Rig, tmp_path: Path
) -> None:
    limits = {"caller_wait": 3600, "queue_seconds": 600, "join_timeout": 60, "report_grace": 30}
    async with few_places(rig, tmp_path, PLACES):
        await eventually(lambda: _has_load(rig, PLACES, 0, 0), 60, "all places are free")

        async def start() -> httpx.Response:
            return await rig.client.http.post(
                "/v1/sessions/start", json={"limits": limits}, params={"wait": "accepted"}
            )

        answers = await asyncio.gather(*(start() for _ in range(STARTS)))

        refused = [answer for answer in answers if answer.status_code == 503]
        assert all(answer.json()["code"] == "no_capacity" for answer in refused)
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
        started = [answer.json() for answer in answers if answer.status_code == 202]
        assert len(started) + len(refused) == STARTS
        waiting = sorted(
            (one["queue_position"], one["session_id"]) for one in started if one["queue_position"]
        )
        queue = [session_id for _, session_id in waiting]
        live = [one["session_id"] for one in started if one["session_id"] not in queue]
        for session_id in (*live, *queue):
            rig.know(SessionKey("local", session_id))
        assert len(live) == PLACES
        for session_id in live:
            await rig.client.until(session_id, 120, joins=1)
        assert await _has_load(rig, PLACES, PLACES, len(queue))

        for joining in queue:
            await rig.client.end(live.pop(0))
            status = await rig.client.until(joining, 60, joins=1)
            assert status.attempt == 1, "waiting uses no attempt"
            live.append(joining)
        for session_id in live:
            await rig.client.end(session_id)
        for one in started:
            closed = await rig.client.closed(one["session_id"])
            assert closed.outcome is Outcome.CALLER_NEVER_JOINED, closed
        await eventually(lambda: _has_load(rig, PLACES, 0, 0), 60, "all places are free again")


async def _has_load(rig: Rig, size: int, reserved: int, queued: int) -> bool:
    load = (await rig.client.http.get("/health/agent")).json()["load"]
    return (load["size"], load["reserved"], load["queued"]) == (size, reserved, queued)


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_no_place_is_lost_whatever_dies_as_it_is_used_or_released(rig: Rig) -> None:
    assert rig.archive is not None
    limits = {"caller_wait": 3600}
    await eventually(lambda: _has_load(rig, PLACES, 0, 0), 60, "the stack's own places are free")
    # Reserved while no worker can dispatch.
    await rig.stack.stop_part("worker")
    calls = [await rig.client.start(wait="accepted", limits=limits)]
    assert calls[0].key in {place.key for place in await rig.archive.places.all_places()}
    await rig.stack.start_part("worker")
    calls += [await rig.client.start(wait="accepted", limits=limits) for _ in range(3)]
    for call in calls:
        rig.know(call.key)
        await rig.client.until(call.key.session_id, 90, agent_joined=True)
    await require_places_balance(rig.archive, rig.histories.client)

    # Released while MongoDB is away, as Temporal dies, and after the agent server has died.
    await rig.stack.stop_part("mongodb")
    await rig.client.end(calls[0].key.session_id)
    await rig.client.until(calls[0].key.session_id, 90, room_deleted=True)
    await rig.stack.start_part("mongodb")
    await rig.client.end(calls[1].key.session_id)
    await rig.stack.wait_restarted("temporal", rig.stack.kill("temporal"))
    await rig.stack.wait_restarted("agent", rig.stack.kill("agent"))
    for call in calls[:2]:
        await rig.client.closed(call.key.session_id, 120)
    for call in calls[2:]:
        await rig.client.until(call.key.session_id, 120, joins=2, state=SessionState.LIVE)
    await require_places_balance(rig.archive, rig.histories.client)
    for call in calls[2:]:
        await rig.client.end(call.key.session_id)
        await rig.client.closed(call.key.session_id)
    await require_places_balance(rig.archive, rig.histories.client)
    assert await rig.archive.places.all_places() == []


async def _strike(rig: Rig, chosen: random.Random) -> None:
    target = chosen.choice(TARGETS)
    if target != "job":
        await rig.stack.wait_restarted(target, rig.stack.kill(target))
        return
    live = [key for key in rig.ledger.sessions if not rig.ledger.endings.get(key)]
    if not live:
        return
    key = chosen.choice(live)
    try:
        status = await rig.client.status(key.session_id)
    except httpx.HTTPError:
        return  # the API is on its way back
    job = await rig.find_job(key, status.attempt)
    if status.state is SessionState.LIVE and job is not None:
        job.send_signal(signal.SIGKILL)


async def _talk(rig: Rig, name: str, over: asyncio.Event) -> Call:
    """One caller, who goes on talking until the storm is over, and then hangs up."""
    limits = {"join_timeout": 6.0, "join_attempts": 5.0, "caller_wait": 120.0, "report_grace": 20.0}
    started = await rig.client.start_at_last(name, 60, wait="dispatched", limits=limits)
    async with rig.joined(started) as call:
        names = iter(("Anna", "Bruno", "Clara", "David", "Emma", "Felix", "Grace", "Henry") * 20)
        while not over.is_set():
            await _say(call, f"My name is {next(names)}.")
        await eventually(lambda: _is_live(rig, call), 90, "an agent is there at the end")
    return call


async def _say(call: Call, text: str) -> None:
    """Say something; nobody may be there to answer."""
    known = len(call.caller.subtitles.lines)
    await call.caller.room.local_participant.send_text(text, topic="lk.chat")
    try:
        await call.caller.wait_for_subtitle(
            lambda _: len(call.caller.subtitles.lines) > known, within=6
        )
    except TimeoutError:
        return  # the agent was killed


async def _is_live(rig: Rig, call: Call) -> bool:
    try:
        status = await rig.client.status(call.session_id)
    except httpx.HTTPError:
        return False
    return status.state in (SessionState.LIVE, SessionState.CLOSED)
