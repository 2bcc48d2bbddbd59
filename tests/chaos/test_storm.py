"""Several calls at once while one thing after the other dies, chosen by a seed that is printed."""

import asyncio
import os
import random
import signal

import httpx
import pytest

from domain.sessions.session import Outcome, SessionState
from tests.harness.call import Call
from tests.harness.rig import Rig
from tests.waiting import eventually

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
