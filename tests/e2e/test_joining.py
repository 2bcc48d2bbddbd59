"""A dispatch proves nothing: agents that are not there, come late, or are waited for."""

import asyncio

import httpx

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState
from tests.harness.client import StartedSession
from tests.harness.rig import Rig
from tests.waiting import eventually


async def test_without_an_agent_worker_a_session_gives_up_and_a_late_one_is_still_found(
    rig: Rig,
) -> None:
    """One worker's absence for both: the first session gives up in it, the second outlasts it."""
    await rig.stack.stop_part("agent")
    hurried = await rig.client.start(limits={"join_timeout": 1, "join_attempts": 2})
    patient = await rig.client.start(limits={"join_timeout": 6, "join_attempts": 10})
    rig.know(patient.key)
    assert hurried.answer["agent_dispatched"], "LiveKit accepts what it will drop"
    try:
        await _gives_up(rig, hurried)
    finally:
        await rig.start_agent()
    await _finds_the_late_one(rig, patient)


async def _gives_up(rig: Rig, hurried: StartedSession) -> None:
    closed = await rig.client.closed(hurried.key.session_id)
    assert closed.outcome is Outcome.AGENT_NEVER_JOINED
    assert closed.end_reason is EndReason.AGENT_NEVER_JOINED
    assert (closed.attempt, closed.dispatches, closed.joins) == (2, 2, 0)
    assert hurried.room not in await rig.rooms.names()
    tried = [entry.text for entry in closed.timeline if " failed: no agent" in entry.text]
    assert len(tried) == 2, "an operator reads what was tried"


async def _finds_the_late_one(rig: Rig, patient: StartedSession) -> None:
    live = await rig.client.until(patient.key.session_id, 120, state=SessionState.LIVE)
    assert live.attempt > 1, "LiveKit drops the dispatch that came before the worker"
    assert live.joins == 1
    await rig.client.end(patient.key.session_id)
    closed = await rig.client.closed(patient.key.session_id)
    assert (closed.outcome, closed.end_reason) == (
        Outcome.CALLER_NEVER_JOINED,
        EndReason.END_REQUESTED,
    )


async def test_how_long_a_start_waits_is_the_clients_choice(rig: Rig) -> None:
    accepted, joined = await asyncio.gather(
        rig.client.start(wait="accepted"), rig.client.start(wait="joined")
    )
    for started in (accepted, joined):
        rig.know(started.key)
    assert accepted.status_code == httpx.codes.ACCEPTED
    assert accepted.answer["agent_dispatched"] is False
    assert joined.status_code == httpx.codes.OK
    assert joined.answer["agent_joined"] is True
    assert (await rig.client.status(joined.key.session_id)).state is SessionState.LIVE
    await rig.client.until(accepted.key.session_id, 60, state=SessionState.LIVE)
    for started in (accepted, joined):
        await rig.client.end(started.key.session_id)
        await rig.client.closed(started.key.session_id)


async def test_an_end_that_comes_before_the_agent_is_a_cancel(rig: Rig) -> None:
    started = await rig.client.start(wait="accepted")
    rig.know(started.key)
    await rig.client.end(started.key.session_id)
    closed = await rig.client.closed(started.key.session_id)
    if closed.joins == 0:
        assert closed.outcome is Outcome.CANCELLED
    else:
        assert closed.outcome is Outcome.CALLER_NEVER_JOINED
    assert closed.end_reason is EndReason.END_REQUESTED


async def test_health_names_the_agent_worker_and_its_jobs(rig: Rig) -> None:
    started = await rig.client.start(wait="joined")
    rig.know(started.key)

    async def one_job() -> bool:
        health = (await rig.client.http.get("/health/agent")).json()
        jobs = [job for server in health["servers"] for job in server["jobs"]]
        return health["status"] == "ok" and len(jobs) >= 1

    await eventually(one_job, 60, "the heartbeat names the job")
    await rig.client.end(started.key.session_id)
    await rig.client.closed(started.key.session_id)
