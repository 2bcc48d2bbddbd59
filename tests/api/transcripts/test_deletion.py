"""Deleted is deleted: all parts of it, for good, with an audit entry that holds no text."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.recordings import RecordingStore
from domain.access.principal import Principal
from domain.recordings.recording import CallRecording, RecordingState
from domain.sessions import callback_token
from domain.sessions.callback_token import CallbackClaims
from domain.transcripts.retention import Removed
from domain.transcripts.summary import Summary, SummaryStatus
from domain.transcripts.transcript import AgentReport
from services.transcripts.retention import Retention
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import turn
from tests.api.archives import START, PastCalls
from tests.api.door import is_problem
from tests.api.house import House, Tenant, unique
from tests.workflows.studio import CALLBACK_SECRET

LINES = ("caller: A table for four", "agent: At seven?")


@pytest.fixture
async def calls(house: House) -> PastCalls:
    return PastCalls(house.archive, unique("acme"))


@pytest.fixture
async def tenant(house: House, calls: PastCalls) -> Tenant:
    async with house.open() as app:
        return Tenant(app, await house.key(calls.org, user_id="anna"))


async def leftovers(house: House, calls: PastCalls, name: str) -> list[Any]:
    """What is still kept of what was said."""
    key, archive = calls.key(name), house.archive
    return [
        found
        for found in (
            await archive.transcripts.turns(key),
            await archive.transcripts.reports(key),
            await archive.transcripts.recordings(key),
            await archive.transcripts.header(key),
            await archive.summaries.get(key),
        )
        if found
    ]


async def test_everything_of_it_goes_and_the_audit_log_says_who_and_when(
    house: House, calls: PastCalls, tenant: Tenant
) -> None:
    await calls.call("a", *LINES)
    await calls.call("b", *LINES)
    before = datetime.now(UTC)

    answer = await tenant.http.delete("/api/transcripts/a")

    counts = {"turns": 2, "reports": 1, "recordings": 0, "summaries": 1}
    assert answer.json() == {"sessionId": "a", **counts}
    assert await leftovers(house, calls, "a") == []
    listed = (await tenant.http.get("/api/transcripts", params={"q": "table"})).json()
    assert [line["sessionId"] for line in listed["transcripts"]] == ["b"]
    for path in ("a", "a/export"):
        gone = await tenant.http.get(f"/api/transcripts/{path}")
        assert is_problem(gone, 404, "not_found")
    assert is_problem(await tenant.http.delete("/api/transcripts/a"), 404, "not_found")
    [entry] = (await tenant.http.get("/v1/audit")).json()["entries"]
    assert datetime.fromisoformat(entry.pop("at")) >= before.replace(microsecond=0)
    assert entry == {
        "org": calls.org,
        "id": "transcript.deleted:a",
        "action": "transcript.deleted",
        "actor": "user anna",
        "subject": "a",
        "details": counts,
    }


async def test_what_comes_late_does_not_bring_it_back(
    house: House, calls: PastCalls, tenant: Tenant
) -> None:
    key = await calls.call("a", *LINES, reported=False)
    assert (await tenant.http.delete("/api/transcripts/a")).status_code == 200
    transcripts = Transcripts(house.archive.transcripts)
    late = AgentReport(attempt=1, turns=[turn(0, "Hello"), turn(1, "again")])

    assert await transcripts.record_report(key, late, START) is False
    await transcripts.record_turns(key, [turn(2, "and again")], START)
    await transcripts.seal(key, "ag-1", 1, START)
    ready = SummaryStatus.READY
    await house.archive.summaries.put(
        Summary(org=key.org, session_id="a", status=ready, text="a table", updated_at=START)
    )
    record = calls.status("a", START, 5, "ag-1", version=99)
    await house.archive.sessions.record(record)

    assert await leftovers(house, calls, "a") == []
    assert (await tenant.http.get("/api/transcripts")).json()["transcripts"] == []
    assert is_problem(await tenant.http.get("/api/transcripts/a"), 404, "not_found")


async def test_all_routes_tell_clients_that_it_is_gone(calls: PastCalls, tenant: Tenant) -> None:
    await calls.call("a", *LINES)
    session = "/v1/sessions/a"
    for path in (f"{session}/turns", f"{session}/summary"):
        assert (await tenant.http.get(path)).status_code == 200
    assert (await tenant.http.delete("/api/transcripts/a")).status_code == 200

    answers = [
        await tenant.http.get(f"{session}/turns"),
        await tenant.http.post(
            f"{session}/turns", json={"turns": [{"role": "user", "text": "late"}]}
        ),
        await tenant.http.get(f"{session}/summary"),
        await tenant.http.post(f"{session}/summary"),
        await tenant.http.get(f"{session}/recording"),
        await tenant.http.get("/api/transcripts/a"),
    ]

    for answer in answers:
        assert is_problem(answer, 404, "not_found")
        assert answer.json()["detail"] == "there is no transcript of session a"
    assert (await tenant.http.get(session)).json()["state"] == "closed", "its record stays"


async def test_an_agents_spool_gets_rid_of_what_nobody_keeps_any_more(
    house: House, calls: PastCalls, tenant: Tenant
) -> None:
    key = await calls.call("a", *LINES, reported=False)
    assert (await tenant.http.delete("/api/transcripts/a")).status_code == 200
    claims = CallbackClaims(org=key.org, session_id="a", attempt=1, expires=int(time.time() + 600))
    token = {"Authorization": f"Bearer {callback_token.mint(CALLBACK_SECRET, claims)}"}
    late = [turn(number).model_dump(mode="json") for number in range(2)]
    report = AgentReport(attempt=1, turns=[turn(2)]).model_dump(mode="json")
    recording = {"attempt": 1, "state": "pending", "path": f"{calls.org}/a/1-AJ.ogg"}

    async with house.open() as app:
        agent = Tenant(app, None).http
        turns = await agent.post("/v1/sessions/a/turns", json={"turns": late}, headers=token)
        told = await agent.post("/session/observability", json=report, headers=token)
        linked = await agent.post("/v1/agent/recording", json=recording, headers=token)

    assert (turns.status_code, turns.json()) == (200, {"stored": 0, "duplicates": 0})
    assert (told.status_code, told.json()["stored"]) == (200, False)
    assert (linked.status_code, linked.json()) == (200, {"stored": False})
    assert await leftovers(house, calls, "a") == []


async def test_recordings_go_with_it_also_those_that_come_late(
    house: House, calls: PastCalls, tmp_path: Path
) -> None:
    sounds = [tmp_path / calls.org / name / "1-AJ.ogg" for name in ("a", "b")]
    for sound in sounds:
        sound.parent.mkdir(parents=True)
        sound.write_bytes(b"Ogg")
    transcripts = Transcripts(house.archive.transcripts)
    for name in ("a", "b"):
        await calls.call(name, *LINES, reported=False)
        # A report may name another session's recording.
        for path in (f"{calls.org}/{name}/1-AJ.ogg", f"{calls.org}/b/1-AJ.ogg"):
            recording = CallRecording(attempt=1, state=RecordingState.STORED, path=path)
            await transcripts.record_recording(calls.key(name), recording, START)
    retention = Retention(
        house.archive.transcript_lines,
        house.archive.retention_rules,
        house.archive.audit,
        RecordingStore(tmp_path.as_uri()),
        0,
    )

    removed = await retention.delete(Principal(org=calls.org), "a", START)

    assert removed.recordings == 2
    assert [sound.exists() for sound in sounds] == [False, True]
    sounds[0].write_bytes(b"Ogg")
    path = f"{calls.org}/a/1-AJ.ogg"
    late = CallRecording(attempt=1, state=RecordingState.STORED, path=path)
    await retention.drop_late(calls.key("a"), late)
    assert [sound.exists() for sound in sounds] == [False, True]


async def test_a_recording_that_cannot_be_reached_keeps_its_transcript(
    house: House, calls: PastCalls, tenant: Tenant
) -> None:
    key = await calls.call("a", *LINES)
    path = f"{calls.org}/a/1-AJ.ogg"
    recording = CallRecording(attempt=1, state=RecordingState.STORED, path=path)
    await house.archive.transcripts.put_recording(key, recording)

    answer = await tenant.http.delete("/api/transcripts/a")

    assert is_problem(answer, 503, "storage_unavailable")
    assert answer.json()["errors"][0]["field"] == "EVERLINE_RECORDINGS_URL"
    assert (await tenant.http.get("/api/transcripts/a")).status_code == 200


async def test_an_interrupted_deletion_goes_on_with_one_entry(
    house: House, calls: PastCalls, tenant: Tenant
) -> None:
    key = await calls.call("a", *LINES)
    # The tombstone is there, and neither the parts nor the entry were done.
    await house.archive.transcript_lines.remove(key, "user anna", START)
    kept = Transcripts(house.archive.transcripts)
    await kept.record_turns(key, [turn(5)], START)

    for status in (200, 404):
        assert (await tenant.http.delete("/api/transcripts/a")).status_code == status
    assert len((await tenant.http.get("/v1/audit")).json()["entries"]) == 1


async def test_a_call_in_which_nothing_was_said_can_be_deleted(
    calls: PastCalls, tenant: Tenant
) -> None:
    await calls.call("quiet", reported=False, summary=None)
    answer = await tenant.http.delete("/api/transcripts/quiet")
    assert answer.json() == {"sessionId": "quiet", **Removed().model_dump()}


async def test_nothing_to_delete(tenant: Tenant) -> None:
    answer = await tenant.http.delete("/api/transcripts/nobody")
    assert is_problem(answer, 404, "not_found")
    assert (await tenant.http.get("/v1/audit")).json() == {"entries": [], "next": None}


async def test_an_org_chooses_how_long_and_the_log_keeps_it(tenant: Tenant) -> None:
    default = (await tenant.http.get("/v1/retention")).json()
    assert (default["transcript_days"], default["source"]) == (0, "default")

    for days, expected, source in ((30, 30, "org"), (0, 0, "org"), (None, 0, "default")):
        answer = await tenant.http.put("/v1/retention", json={"transcript_days": days})
        assert (answer.json()["transcript_days"], answer.json()["source"]) == (expected, source)
        assert (await tenant.http.get("/v1/retention")).json() == answer.json()

    entries = (await tenant.http.get("/v1/audit", params={"action": "retention.changed"})).json()
    assert [entry["details"] for entry in entries["entries"]] == [
        {"days": None, "days_before": 0},
        {"days": 0, "days_before": 30},
        {"days": 30, "days_before": None},
    ]
    for body in ({}, {"transcript_days": -1}, {"transcript_days": 40_000}, {"days": 3}):
        answer = await tenant.http.put("/v1/retention", json=body)
        assert is_problem(answer, 422, "invalid_input")


async def test_the_log_is_read_in_pages(tenant: Tenant) -> None:
    for days in range(1, 6):
        await tenant.http.put("/v1/retention", json={"transcript_days": days})
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await tenant.http.get("/v1/audit", params={"limit": 2} | cursor)).json()
        seen += [entry["details"]["days"] for entry in page["entries"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == [5, 4, 3, 2, 1]
    refused = await tenant.http.get("/v1/audit", params={"cursor": "x"})
    assert is_problem(refused, 422, "invalid_input")
