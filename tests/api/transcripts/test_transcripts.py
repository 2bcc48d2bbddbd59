"""Transcripts over HTTP: lists in every order, filters, search, one transcript, statistics."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from domain.agents.servers import Heartbeat
from domain.recordings.recording import CallRecording, RecordingState
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome
from domain.transcripts.summary import SummaryStatus
from domain.transcripts.transcript import AgentReport, Role
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import turn
from tests.api.archives import START, PastCalls
from tests.api.door import is_problem
from tests.api.house import House, Tenant, unique

JSON = dict[str, Any]


@dataclass
class Desk:
    """A tenant with its calls."""

    house: House
    tenant: Tenant
    calls: PastCalls

    async def get(self, path: str = "", **query: Any) -> httpx.Response:
        return await self.tenant.http.get(f"/api/transcripts{path}", params=query)

    async def read(self, path: str = "", **query: Any) -> JSON:
        answer = await self.get(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def names(self, path: str = "", **query: Any) -> list[str]:
        """The sessions of all pages."""
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await self.read(path, **query | ({"cursor": cursor} if cursor else {}))
            assert len(page["transcripts"]) <= query.get("limit", 50)
            found += [line["sessionId"] for line in page["transcripts"]]
            cursor = page["nextCursor"]
            if cursor is None:
                return found


async def new_desk(house: House) -> Desk:
    org = unique("acme")
    async with house.open() as app:
        return Desk(house, Tenant(app, await house.key(org)), PastCalls(house.archive, org))


@pytest.fixture
async def desk(house: House) -> Desk:
    return await new_desk(house)


@pytest.fixture(scope="module")
async def full(house: House) -> Desk:
    """Four calls of different kinds, which tests only read."""
    desk = await new_desk(house)
    calls = desk.calls
    await calls.call("a", "caller: A table for four", "agent: At seven?", minute=0, minutes=3)
    await calls.call(
        "b",
        "caller: Crème brûlée, and a TABLE by the window",
        minute=1,
        minutes=1,
        agent="ag-2",
        end_reason=EndReason.AGENT_ENDED,
        user_id="bert",
    )
    await calls.call("c", minute=2, minutes=9, reported=False, summary=None, agent=None)
    await calls.call(
        "d",
        "caller: Tomorrow at seven",
        minute=3,
        minutes=2,
        summary=SummaryStatus.FAILED,
        outcome=Outcome.AGENT_LOST,
    )
    return desk


@pytest.mark.parametrize("limit", [1, 3, 50])
@pytest.mark.parametrize(
    ("sort", "expected"),
    [("startedAt", "abcd"), ("endedAt", "badc"), ("duration", "bdac")],
)
async def test_every_order_both_ways_over_pages(
    full: Desk, sort: str, expected: str, limit: int
) -> None:
    assert await full.names(sort=sort, order="asc", limit=limit) == list(expected)
    assert await full.names(sort=sort, limit=limit) == list(reversed(expected))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"agentId": "ag-1"}, "da"),
        ({"agentId": "test-agent"}, "c"),
        ({"agentId": "ag-9"}, ""),
        ({"userId": "bert"}, "b"),
        ({"outcome": "agent_lost"}, "d"),
        ({"endReason": "agent_ended"}, "b"),
        ({"state": "partial"}, "c"),
        ({"state": "complete"}, "dba"),
        ({"state": "live"}, ""),
        ({"summaryStatus": "failed"}, "d"),
        ({"hasSummary": "true"}, "ba"),
        ({"hasSummary": "false"}, "dc"),
        ({"from": (START + timedelta(minutes=1)).isoformat()}, "dcb"),
        ({"to": (START + timedelta(minutes=1)).isoformat()}, "a"),
        ({"minDuration": 120}, "dca"),
        ({"maxDuration": 120}, "db"),
        ({"minDuration": 60, "maxDuration": 60}, "b"),
        ({"q": "table"}, "ba"),
        ({"q": "TABLE brulee"}, "b"),
        ({"q": "table seven"}, "a"),
        ({"q": "seven"}, "da"),
        ({"q": "nothing like it"}, ""),
        ({"q": "seven", "agentId": "ag-1", "outcome": "agent_lost"}, "d"),
        ({"agentId": "ag-1", "summaryStatus": "ready", "userId": "anna"}, "a"),
        ({"q": "seven", "minDuration": 150}, "a"),
    ],
)
async def test_filters(full: Desk, query: JSON, expected: str) -> None:
    assert await full.names(**query) == list(expected)
    assert await full.names(**query, limit=1) == list(expected)
    backwards = await full.names(**query, sort="duration", order="asc", limit=1)
    assert sorted(backwards) == sorted(expected)


async def test_a_line_says_what_a_person_looks_for(full: Desk) -> None:
    [line] = (await full.read(agentId="ag-1", outcome="completed"))["transcripts"]
    assert line == {
        "sessionId": "a",
        "agentId": "ag-1",
        "agentName": "test-agent",
        "agentVersion": None,
        "userId": "anna",
        "roomName": f"{full.calls.org}.a",
        "state": "complete",
        "outcome": "completed",
        "endReason": "caller_left",
        "startedAt": "2026-03-01T12:00:00Z",
        "joinedAt": "2026-03-01T12:00:00Z",
        "endedAt": "2026-03-01T12:03:00Z",
        "durationSeconds": 180.0,
        "turnCount": 2,
        "userTurns": 1,
        "agentTurns": 1,
        "interruptions": 0,
        "toolCalls": 0,
        "toolErrors": 0,
        "attempts": 1,
        "joins": 1,
        "joinSeconds": 0.5,
        "responseSeconds": None,
        "cost": None,
        "recordings": 0,
        "metadata": {},
        "summaryStatus": "ready",
    }


async def test_without_a_saved_agent_a_transcript_names_its_agent_and_has_no_agent_id(
    full: Desk,
) -> None:
    [line] = (await full.read(agentId="test-agent"))["transcripts"]

    for found in (line, await full.read("/c")):
        assert (found["agentId"], found["agentName"]) == (None, "test-agent")


async def test_what_comes_while_somebody_turns_pages_shifts_nothing(desk: Desk) -> None:
    for minute, name in enumerate("abcd"):
        await desk.calls.call(name, minute=minute)
    first = await desk.read(limit=2)
    await desk.calls.call("e", minute=9)
    await desk.calls.call("between", minute=2.5)

    second = await desk.read(limit=2, cursor=first["nextCursor"])

    listed = [line["sessionId"] for page in (first, second) for line in page["transcripts"]]
    assert listed == list("dcba")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"sort": "name"}, "sort"),
        ({"order": "up"}, "order"),
        ({"outcome": "fine"}, "outcome"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-03-01T12:00:00"}, "from"),
        ({"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "from"),
        ({"minDuration": 3, "maxDuration": 2}, "minDuration"),
        ({"minDuration": -1}, "minDuration"),
        ({"q": "the"}, "q"),
        ({"q": "?!"}, "q"),
        ({"q": " ".join(f"word{n}" for n in range(11))}, "q"),
        ({"agentId": "no/id"}, "agentId"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "YWJj"}, "cursor"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(desk: Desk, query: JSON, field: str) -> None:
    answer = await desk.get(**query)
    assert is_problem(answer, 422, "invalid_input")
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


async def test_a_cursor_is_good_for_its_own_list_alone(full: Desk) -> None:
    cursor = (await full.read(limit=1))["nextCursor"]
    letter = "A" if cursor[20] != "A" else "B"
    for query in (
        {"cursor": cursor[:20] + letter + cursor[21:]},
        {"cursor": cursor + "A"},
        {"cursor": cursor, "order": "asc"},
        {"cursor": cursor, "sort": "duration"},
        {"cursor": cursor, "agentId": "ag-1"},
    ):
        answer = await full.get(**query)
        assert is_problem(answer, 422, "invalid_input"), query
        assert answer.json()["errors"][0]["field"] == "cursor"
        assert answer.json()["errors"][0]["cure"]


async def test_an_agents_own_list(full: Desk) -> None:
    assert await full.names("/agent/ag-1") == ["d", "a"]
    assert await full.names("/agent/ag-1", q="table", limit=1) == ["a"]
    assert await full.names("/agent/ag-1", userId="bert") == []
    assert is_problem(await full.get("/agent/ag-9"), 404, "not_found")
    assert is_problem(await full.get("/agent/ag-9/stats"), 404, "not_found")


async def test_a_saved_agent_without_calls_has_an_empty_list(desk: Desk) -> None:
    saved = await desk.tenant.http.post("/agents", json={"config": {"agent_name": "New"}})
    agent = saved.json()["agentId"]
    assert await desk.names(f"/agent/{agent}") == []
    assert (await desk.read(f"/agent/{agent}/stats"))["count"] == 0


# ── one transcript ───────────────────────────────────────────────────────────────────────────────


async def test_one_transcript_with_all_its_parts(full: Desk) -> None:
    found = await full.read("/a")
    assert [(turn["role"], turn["text"]) for turn in found["turns"]] == [
        ("user", "A table for four"),
        ("assistant", "At seven?"),
    ]
    assert found["turns"][0] | {"text": "", "role": ""} == {
        "itemId": "item_0",
        "attempt": 1,
        "seq": 0,
        "role": "",
        "text": "",
        "createdAt": "2026-03-01T12:00:00Z",
        "interrupted": False,
        "startedSpeakingAt": None,
        "stoppedSpeakingAt": None,
        "metrics": {},
        "agentId": None,
    }
    [report] = found["reports"]
    assert (report["attempt"], report["jobId"], report["turnCount"]) == (1, "AJ_1", 2)
    assert [error["kind"] for error in report["errors"]] == ["APITimeoutError"]
    for field in ("toolCalls", "handOffs", "missingVariables", "configuredOtherwise", "leftOut"):
        assert report[field] == []
    assert (found["state"], found["complete"], found["outcome"]) == ("complete", True, "completed")
    assert (found["summary"]["status"], found["summary"]["text"]) == ("ready", "a table")
    assert found["summary"]["current"] is False, "it names no digest"


async def test_a_report_that_was_too_large_says_what_it_came_without(desk: Desk) -> None:
    key = await desk.calls.call("big", "caller: Hello", reported=False)
    report = AgentReport.model_validate({"attempt": 1, "left_out": ["sdk_report", "turns"]})
    await Transcripts(desk.house.archive.transcripts).record_report(key, report, START)

    [answered] = (await desk.read("/big"))["reports"]

    assert (answered["turnCount"], answered["leftOut"]) == (0, ["sdk_report", "turns"])


async def test_a_live_call_shows_what_was_said_so_far(desk: Desk) -> None:
    assert (await desk.tenant.start("live")).status_code == 202
    transcripts = Transcripts(desk.house.archive.transcripts)
    await transcripts.record_turns(desk.calls.key("live"), [turn(0, "Hello")], START)

    found = await desk.read("/live")

    assert (found["state"], found["complete"], found["endedAt"]) == ("live", False, None)
    assert [said["text"] for said in found["turns"]] == ["Hello"]
    assert await desk.names() == [], "it is listed once it is over"
    assert (await desk.get("/live/export", format="txt")).status_code == 200
    assert is_problem(await desk.tenant.http.delete("/api/transcripts/live"), 409, "conflict")
    await desk.house.quiet()


async def test_what_a_terminated_call_said_is_listed_although_it_was_never_sealed(
    desk: Desk,
) -> None:
    key = desk.calls.key("cut")
    transcripts = Transcripts(desk.house.archive.transcripts)
    await transcripts.record_turns(key, [turn(0, "Hello")], START)
    status = desk.calls.status("cut", START, 1, None, outcome=Outcome.FAILED)
    await desk.house.archive.sessions.record(status)
    await transcripts.record_turns(key, [turn(1, "a late word")], START)

    assert await desk.names(state="partial", q="late") == ["cut"]
    assert (await desk.read("/cut"))["state"] == "partial"


async def test_late_material_is_found(desk: Desk) -> None:
    key = await desk.calls.call("c", reported=False)
    transcripts = Transcripts(desk.house.archive.transcripts)
    late = turn(7, "the umbrella", role=Role.ASSISTANT)
    await transcripts.record_turns(key, [late], datetime.now(UTC))

    assert await desk.names(q="umbrella") == ["c"]
    assert (await desk.read(q="umbrella"))["transcripts"][0]["agentTurns"] == 1


async def test_a_recording_of_a_disk_that_is_heard_no_more_has_failed(desk: Desk) -> None:
    key = await desk.calls.call("c")
    now = datetime.now(UTC)
    told = CallRecording(
        attempt=1,
        state=RecordingState.PENDING,
        path=f"{key.org}/c/1-AJ.ogg",
        started_at=now,
        spool=key.org,
    )
    await Transcripts(desk.house.archive.transcripts).record_recording(key, told, now)
    [lost] = (await desk.read("/c"))["recordingFiles"]

    beat = Heartbeat(server_id=key.org, agent_name="a", max_jobs=1, spool=key.org)
    await desk.house.services.agent_servers.record(beat, now)
    [awaited] = (await desk.read("/c"))["recordingFiles"]

    assert (lost["state"], awaited["state"]) == ("failed", "pending")
    assert "the agent server with its disk" in lost["error"]
    assert awaited["error"] is None


async def test_an_unknown_session_has_no_transcript(desk: Desk) -> None:
    for path in ("/nobody", "/nobody/export"):
        answer = await desk.get(path)
        assert is_problem(answer, 404, "not_found")
        assert answer.json()["errors"][0]["field"] == "sessionId"


# ── statistics ───────────────────────────────────────────────────────────────────────────────────


async def test_statistics_of_an_agent(desk: Desk) -> None:
    for number in range(10):
        await desk.calls.call(
            f"s{number}",
            *["caller: Hello", "agent: Hi"][: number % 3],
            minute=number,
            minutes=number + 1,
            join_seconds=0.1 * (number + 1),
            attempt=1 if number else 3,
        )
    await desk.calls.call(
        "never",
        minute=10,
        reported=False,
        summary=None,
        outcome=Outcome.AGENT_NEVER_JOINED,
        end_reason=EndReason.AGENT_NEVER_JOINED,
        attempt=3,
        joins=0,
        join_seconds=None,
        joined_at=None,
    )
    await desk.calls.call("other", agent="ag-2", minutes=100)
    await desk.calls.call("long-ago", minute=-60 * 24 * 31)

    until = (START + timedelta(days=1)).isoformat()
    stats = await desk.read("/agent/ag-1/stats", to=until)

    assert stats["count"] == 11
    assert stats["from"] == "2026-01-31T12:00:00Z"
    assert stats["durationSeconds"] == {
        "count": 10,
        "average": pytest.approx(330),
        "p50": pytest.approx(300, abs=60),
        "p95": pytest.approx(600, abs=60),
        "max": 600,
    }
    assert (stats["userTurns"], stats["agentTurns"]) == (6, 3)
    assert stats["turns"]["max"] == 2
    join = stats["join"]
    assert (join["sessions"], join["joined"], join["attempts"]) == (11, 10, 15)
    assert join["successRate"] == pytest.approx(10 / 11)
    assert (join["seconds"]["count"], join["seconds"]["max"]) == (10, pytest.approx(1))
    assert stats["outcomes"] == {"agent_never_joined": 1, "completed": 10}
    assert stats["endReasons"] == {"agent_never_joined": 1, "caller_left": 10}
    assert stats["states"] == {"complete": 10, "partial": 1}
    assert stats["summaryStates"] == {"none": 1, "ready": 10}
    assert (stats["cost"]["count"], stats["costTotal"]) == (0, 0)

    span = {"from": START.isoformat(), "to": (START + timedelta(minutes=3)).isoformat()}
    assert (await desk.read("/agent/ag-1/stats", **span))["count"] == 3
    assert (await desk.read("/agent/ag-1/stats"))["count"] == 0, "none in the last 30 days"
    wrong = await desk.get("/agent/ag-1/stats", **{"from": span["to"], "to": span["from"]})
    assert is_problem(wrong, 422, "invalid_input")


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_times_at_the_end_of_the_calendar(full: Desk, time: str) -> None:
    for name in ("from", "to"):
        for path in ("", "/agent/ag-1/stats"):
            assert (await full.get(path, **{name: time})).status_code == 200


async def test_without_mongodb_there_are_no_transcripts(house: House) -> None:
    org = unique("acme")
    async with house.open(archive=None, records=None) as app:
        tenant = Tenant(app, await house.key(org))
        for path, kept in (
            ("/api/transcripts", "transcripts"),
            ("/api/transcripts/a", "transcripts"),
            ("/v1/retention", "retention"),
            ("/v1/audit", "audit log"),
        ):
            answer = await tenant.http.get(path)
            assert is_problem(answer, 503, "storage_unavailable")
            assert kept in answer.json()["detail"]
