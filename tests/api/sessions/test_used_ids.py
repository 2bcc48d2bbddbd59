"""A session id that Temporal has forgotten, and MongoDB has not, starts no second session."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

from adapters.mongo import MongoArchive
from adapters.mongo.client import connect
from domain.ids import SessionKey, session_id_of_idempotency_key, session_workflow_id
from domain.recordings.recording import CallRecording, RecordingState
from domain.sessions import callback_token
from domain.sessions.callback_token import CallbackClaims
from domain.sessions.session import SessionState
from domain.transcripts.summary import Summary, SummaryStatus
from domain.transcripts.transcript import AgentReport
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import turn
from tests.api.archives import START, PastCalls
from tests.api.door import is_problem
from tests.api.house import House, Tenant, unique
from tests.servers import free_port
from tests.waiting import eventually
from tests.workflows.studio import CALLBACK_SECRET

KeptParts = dict[str, Callable[[MongoArchive, SessionKey], Awaitable[Any]]]


def _recording(key: SessionKey) -> CallRecording:
    path = f"{key.org}/{key.session_id}/1-AJ_1.ogg"
    return CallRecording(attempt=1, state=RecordingState.STORED, path=path)


def _summary(key: SessionKey) -> Summary:
    ready = SummaryStatus.READY
    return Summary(org=key.org, session_id=key.session_id, status=ready, updated_at=START)


PARTS: KeptParts = {
    "its record": lambda archive, key: archive.sessions.record(
        PastCalls(archive, key.org).status(key.session_id, START, 5, None)
    ),
    "a turn": lambda archive, key: archive.transcripts.add_turns(key, [turn(0)]),
    "a report": lambda archive, key: archive.transcripts.add_report(key, AgentReport(attempt=1)),
    "a recording": lambda archive, key: archive.transcripts.put_recording(key, _recording(key)),
    "its header": lambda archive, key: Transcripts(archive.transcripts).seal(key, None, 1, START),
    "its summary": lambda archive, key: archive.summaries.put(_summary(key)),
    "its deletion": lambda archive, key: archive.transcript_lines.remove(key, "test", START),
}


@asynccontextmanager
async def tenant_of(house: House, org: str, **changed: Any) -> AsyncGenerator[Tenant]:
    async with house.open(**changed) as app:
        yield Tenant(app, await house.key(org))


def is_used(answer: httpx.Response) -> bool:
    """Whether the answer is that of an id whose session is over."""
    assert is_problem(answer, 409, "conflict")
    assert "was started before and is closed" in answer.json()["detail"]
    [fault] = answer.json()["errors"]
    return fault["field"] in ("sessionId", "session_id") and "for a new session" in fault["cure"]


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
async def test_whatever_is_stored_of_a_session_keeps_its_id(
    house: House, part: Callable[[MongoArchive, SessionKey], Awaitable[Any]]
) -> None:
    org = unique("acme")
    await part(house.archive, SessionKey(org, "call-1"))
    async with tenant_of(house, org) as tenant:
        assert is_used(await tenant.start("call-1"))
    assert not await house.services.sessions.exists(SessionKey(org, "call-1"))


async def test_ids_belong_to_their_org(house: House) -> None:
    org = unique("acme")
    await PARTS["its record"](house.archive, SessionKey(unique("other"), "call-1"))
    await PARTS["its record"](house.archive, SessionKey(org, "call-2"))
    async with tenant_of(house, org) as tenant:
        assert (await tenant.start("call-1")).status_code == 202
    await house.terminate(SessionKey(org, "call-1"))


async def test_an_idempotency_key_is_used_up_as_well(house: House) -> None:
    org = unique("acme")
    key = SessionKey(org, session_id_of_idempotency_key(org, "order-4711"))
    await PARTS["its record"](house.archive, key)
    async with tenant_of(house, org) as tenant:
        again = {"Idempotency-Key": "order-4711"}
        assert is_used(await tenant.http.post("/v1/sessions/start", json={}, headers=again))
        seed = {"userIdentity": "caller"}
        assert is_used(await tenant.http.post("/session", json=seed, headers=again))


async def test_a_whole_session_after_temporals_retention(house: House) -> None:
    org = unique("acme")
    key = SessionKey(org, "call-1")
    async with tenant_of(house, org) as tenant:
        assert (await tenant.start("call-1")).status_code == 202
        await tenant.end("call-1")

        async def recorded() -> bool:
            found = await house.archive.sessions.get(key)
            return found is not None and found.state is SessionState.CLOSED

        await eventually(recorded, what="the session is closed, and its record is stored")
        assert is_used(await tenant.start("call-1")), "as Temporal tells"
        await _forget(house, key)

        assert is_used(await tenant.start("call-1")), "as MongoDB tells"
        assert (await tenant.http.delete("/api/transcripts/call-1")).status_code == 200
        assert is_used(await tenant.start("call-1")), "also after the deletion"


async def _forget(house: House, key: SessionKey) -> None:
    """What Temporal does after its retention."""
    await house.temporal.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=house.temporal.namespace,
            workflow_execution=WorkflowExecution(workflow_id=session_workflow_id(key)),
        )
    )

    async def forgotten() -> bool:
        return not await house.services.sessions.exists(key)

    await eventually(forgotten, what="Temporal has deleted the session")


async def test_a_repeated_start_finds_its_session_although_mongodb_knows_it(house: House) -> None:
    org = unique("acme")
    async with tenant_of(house, org) as tenant:
        assert (await tenant.start("call-1")).status_code == 202
        await PARTS["a turn"](house.archive, SessionKey(org, "call-1"))

        again = await tenant.start("call-1")
        other = await tenant.start("call-1", room_name="elsewhere")

    assert again.status_code == 202
    assert is_problem(other, 409, "idempotency_mismatch")
    await house.terminate(SessionKey(org, "call-1"))


async def test_what_is_said_waits_if_mongodb_could_not_tell_that_the_id_was_used(
    house: House,
) -> None:
    org = unique("acme")
    key = SessionKey(org, "call-1")
    # After the session's own record, which the worker stores at once.
    deleted_at = datetime.now(UTC) + timedelta(days=1)
    await house.archive.transcript_lines.remove(key, "test", deleted_at)
    claims = CallbackClaims(org=org, session_id="call-1", attempt=1, expires=int(time.time() + 60))
    token = {"Authorization": f"Bearer {callback_token.mint(CALLBACK_SECRET, claims)}"}
    turns = {"turns": [turn(0).model_dump(mode="json")]}
    report = AgentReport(attempt=1, turns=[turn(1)]).model_dump(mode="json")
    async with tenant_of(house, org, records=None) as tenant:
        assert (await tenant.start("call-1")).status_code == 202
    async with house.open() as app:
        agent = Tenant(app, None).http

        async def send(path: str, body: Any) -> httpx.Response:
            return await agent.post(path, json=body, headers=token)

        early = await send("/v1/sessions/call-1/turns", turns)
        told = await send("/session/observability", report)
        began = deleted_at + timedelta(days=1)
        live = {"state": SessionState.LIVE, "version": 1, "closed_at": None, "ended_at": None}
        await house.archive.sessions.record(
            PastCalls(house.archive, org).status("call-1", began, 5, None, **live)
        )
        later = await send("/v1/sessions/call-1/turns", turns)
        told_again = await send("/session/observability", report)

    assert is_problem(early, 503, "storage_unavailable")
    assert is_problem(told, 503, "storage_unavailable")
    assert later.json() == {"stored": 1, "duplicates": 0}
    assert told_again.json()["stored"] is True
    assert len(await house.archive.transcripts.turns(key)) == 2
    await house.terminate(key)


async def test_a_start_does_not_need_mongodb_to_know_its_id(house: House) -> None:
    org = unique("acme")
    client = connect(f"mongodb://127.0.0.1:{free_port()}")
    records = house.services.records
    assert records is not None
    gone = replace(records.retention, transcripts=MongoArchive(client, "gone").transcript_lines)
    async with tenant_of(house, org, records=replace(records, retention=gone)) as tenant:
        answer = await tenant.start("call-1")

    assert answer.status_code == 202
    await house.terminate(SessionKey(org, "call-1"))
    client.close()
