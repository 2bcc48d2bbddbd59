"""What clients and agents repeat without an end, and what still gets through to their session."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc
import httpx
import pytest
from temporalio.api.enums.v1 import EventType

from adapters.temporal.client import connect
from adapters.temporal.message_limits import FAILURES_PER_ATTEMPT
from adapters.temporal.sessions import TemporalSessions
from domain.transcripts.transcript import MAX_REPORTS
from tests.api.door import Door, at_last, is_problem, open_door, session_body
from tests.fakes.agents import NEVER_COMES, Plays
from tests.fakes.refusing_temporal import RefusingTemporal
from tests.workflows.calls import Call
from workflows.session_parts.changes import MAX_CHANGES

REPEATS = 250
"""Temporal takes 2,000 updates of a workflow: each repeat that was one would be counted."""
AT_ONCE = 20
PATIENT = {"join_timeout": 120, "ready_timeout": 120, "report_grace": 120}


async def _repeat(times: int, ask: Callable[[], Awaitable[httpx.Response]]) -> Counter[int]:
    """Ask many times, some at a time; how often each status was answered."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def once() -> int:
        async with gate:
            return (await ask()).status_code

    return Counter(await asyncio.gather(*(once() for _ in range(times))))


async def _claim(door: Door, call: Call, attempt: int = 1) -> httpx.Response:
    claim = {"attempt": attempt, "job_id": f"AJ_{attempt}", "identity": f"agent-{attempt}"}
    headers = door.as_agent(call.key, attempt)
    return await at_last(lambda: door.http.post("/v1/agent/ready", json=claim, headers=headers))


async def _heard(call: Call) -> Counter[EventType.ValueType]:
    """How much the session's history has of everything that was said to it."""
    history = await call.handle.fetch_history()
    return Counter(event.event_type for event in history.events)


@pytest.mark.timeout(300)
async def test_a_start_repeated_without_an_end_leaves_its_session_answering(door: Door) -> None:
    call = await door.start(NEVER_COMES, archive=True, **PATIENT)
    body = session_body(call)

    answers = await _repeat(REPEATS, lambda: door.http.post("/session", json=body))
    claimed = await _claim(door, call)
    ended = await door.http.post("/session/end", json={"sessionId": call.key.session_id})

    assert answers == {200: REPEATS}
    assert claimed.status_code == 200, claimed.text
    assert ended.json()["ended"] is True
    await door.http.post(f"/v1/sessions/{call.key.session_id}/finalise")
    await call.closed()
    updates = (await _heard(call))[EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED]
    assert updates == 4, "the start's wait, all others' wait, the claim and the finalise"


async def test_a_repeated_start_tells_the_session_as_it_is_now(door: Door) -> None:
    """All who wait for a stage share one update, whose own answer becomes an old one."""
    call = await door.live(Plays(report_when_told=False), **PATIENT)
    body = session_body(call)
    for stage in ("dispatched", "joined"):
        assert (await door.http.post(f"/session?wait={stage}", json=body)).status_code == 200

    await door.http.post("/session/end", json={"sessionId": call.key.session_id})
    await call.until("ending", lambda status: status.ended_at is not None)

    for stage in ("dispatched", "joined"):
        again = await door.http.post(f"/session?wait={stage}", json=body)
        assert is_problem(again, 409, "conflict")
        assert "has ended" in again.json()["detail"]
    other = await door.http.post("/session", json=body | {"userIdentity": "eve"})
    assert is_problem(other, 409, "idempotency_mismatch")
    await door.http.post(f"/v1/sessions/{call.key.session_id}/finalise")
    await call.closed()


@pytest.mark.timeout(300)
async def test_a_session_can_be_changed_so_often_and_then_it_says_so(door: Door) -> None:
    call = await door.live(Plays(), Plays(claims=None), max_duration=600, **PATIENT)
    session = f"/v1/sessions/{call.key.session_id}"
    most = MAX_CHANGES["extended"]

    async def extend() -> httpx.Response:
        return await door.http.post(f"{session}/extend", json={"seconds": 1})

    for _ in range(most):
        assert (await at_last(extend)).status_code == 200
    further = [await at_last(extend) for _ in range(10)]

    assert all(is_problem(answer, 409, "conflict") for answer in further)
    assert f"{most} times" in further[0].json()["detail"]
    replaced = await at_last(lambda: door.http.post(f"{session}/redispatch"))
    assert replaced.status_code == 200, "the other ways have their own number"
    await call.until("a new agent is in", lambda status: status.waiting_for == "agent_ready")
    assert (await _claim(door, call, 2)).status_code == 200
    await call.end()
    closed = await call.closed()
    assert closed.status.joins == 2
    updates = (await _heard(call))[EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED]
    assert updates == most + 4, "beside the start's wait, two claims and the redispatch"


async def test_changes_at_the_same_time_take_no_claims_place(door: Door) -> None:
    call = await door.live(max_duration=600)
    path = f"/v1/sessions/{call.key.session_id}/extend"

    answers = await asyncio.gather(
        *(door.http.post(path, json={"seconds": 1}) for _ in range(AT_ONCE))
    )

    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert is_problem(refused, 429, "too_many_requests")
    assert int(refused.headers["retry-after"]) > 0
    await call.end()
    await call.closed()


async def test_an_end_that_is_asked_for_many_times_is_one_signal(door: Door) -> None:
    call = await door.live(Plays(report_when_told=False), **PATIENT)
    session = call.key.session_id

    answers = await _repeat(50, lambda: door.http.post(f"/v1/sessions/{session}/end"))
    seed = await _repeat(50, lambda: door.http.post("/session/end", json={"sessionId": session}))

    assert answers == seed == {200: 50}
    assert (await _heard(call))[EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED] == 1
    await door.http.post(f"/v1/sessions/{session}/finalise")
    await call.closed()


async def test_what_temporal_refuses_for_a_limit_is_sent_again_later(door: Door) -> None:
    call = await door.live(Plays(report_when_told=False), **PATIENT)
    session, headers = call.key.session_id, door.as_agent(call.key)
    report = {"attempt": 1, "end_reason": "agent_ended"}
    limit = (grpc.StatusCode.INVALID_ARGUMENT, "Workflow history count exceeds limit.")
    settings = door.studio.settings
    async with RefusingTemporal(settings.temporal_address) as temporal:
        client = await connect(
            settings.model_copy(update={"temporal_address": temporal.address}),
        )
        temporal.refused |= dict.fromkeys(
            ("SignalWorkflowExecution", "UpdateWorkflowExecution"), limit
        )
        limited = replace(door.deps, sessions=TemporalSessions(client, "queue"))
        async with open_door(door.studio, limited, patient=False) as poor:
            refused = [
                await poor.http.post("/session/end", json={"sessionId": session}),
                await poor.http.post(f"/v1/sessions/{session}/end"),
                await poor.http.post(f"/v1/sessions/{session}/finalise"),
                await poor.http.post("/session/observability", json=report, headers=headers),
            ]
            temporal.refused.clear()
            taken = await poor.http.post("/session/observability", json=report, headers=headers)

    assert all(is_problem(answer, 503, "unavailable") for answer in refused)
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    assert taken.status_code == 200
    assert (await call.closed()).ended == ("caller_never_joined", "agent_ended")


async def test_what_an_agent_repeats_is_said_once(door: Door) -> None:
    silent = Plays(report_when_told=False, report_when_removed=False)
    call = await door.live(silent, **PATIENT)
    headers = door.as_agent(call.key)

    def fail(number: int, job: str) -> Awaitable[httpx.Response]:
        body: dict[str, Any] = {"event_id": f"e{number}", "attempt": 1, "reason": "r"}
        return door.http.post("/v1/agent/failed", json=body | {"job_id": job}, headers=headers)

    same = [await fail(number, "AJ_not-the-one") for number in range(30)]
    others = [await fail(0, f"AJ_{number}") for number in range(FAILURES_PER_ATTEMPT + 10)]
    assert {answer.status_code for answer in same} == {200}
    assert is_problem(others[-1], 429, "too_many_requests")
    signals = await _heard(call)
    assert signals[EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED] == FAILURES_PER_ATTEMPT

    for number in range(MAX_REPORTS):
        report = {"attempt": 1, "end_reason": "agent_ended", "error": f"e{number}"}
        answer = await door.http.post("/session/observability", json=report, headers=headers)
        assert answer.status_code == 200
    closed = await call.closed()

    assert closed.ended == ("caller_never_joined", "agent_ended")
    signals = await _heard(call)
    assert signals[EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED] == FAILURES_PER_ATTEMPT + 1
