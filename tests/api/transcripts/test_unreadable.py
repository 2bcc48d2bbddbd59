"""One thing that cannot be read hides nothing else, and says itself what is wrong with it."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.temporal.encryption import EncryptionCodec
from domain.access.api_keys import Scope
from domain.agents.masking import MASK
from services.transcripts.transcripts import Transcripts
from services.webhooks.delivery import Announcer
from tests.api.archives import START, PastCalls
from tests.api.door import is_problem
from tests.api.house import House, Tenant, unique

FOREIGN = EncryptionCodec({"k-lost": b"l" * 32})


@pytest.fixture
async def org() -> str:
    return unique("acme")


@pytest.fixture
async def tenant(house: House, org: str) -> AsyncGenerator[Tenant]:
    async with house.open() as app:
        yield Tenant(app, await house.key(org, scopes=tuple(Scope)))


async def spoil(house: House, collection: str, wanted: dict[str, Any], **fields: Any) -> None:
    """Have something stored in a form that this Everline cannot read."""
    changed = await house.database[collection].update_one(wanted, {"$set": fields})
    assert changed.modified_count == 1


def told(logs: list[Any], part: str) -> bool:
    """Whether the log names what cannot be read, with a reason."""
    return any(
        line["event"] == "stored document unreadable" and part in line["id"] and line["reason"]
        for line in logs
    )


async def save_agents(tenant: Tenant, count: int) -> list[str]:
    made = [
        await tenant.http.post("/agents", json={"config": {"agent_name": f"Ada {number}"}})
        for number in range(count)
    ]
    return [answer.json()["agentId"] for answer in made]


async def test_an_agent_of_another_version_hides_no_other(
    house: House, org: str, tenant: Tenant
) -> None:
    ids = await save_agents(tenant, 4)
    codec = EncryptionCodec(house.settings.everline_encryption_keys)
    refused_now = codec.seal(b'{"agent_name": "Ada", "prompt": ["canary-value"]}')
    for spoilt in ids[1:3]:
        await spoil(house, "agents", {"agent_id": spoilt}, config=refused_now)

    with capture_logs() as logs:
        first = (await tenant.http.get("/agents", params={"limit": 1})).json()
        rest = await tenant.http.get("/agents", params={"limit": 1, "cursor": first["nextCursor"]})
        own = await tenant.http.get(f"/agents/{ids[1]}")

    assert [one["agentId"] for one in first["agents"]] == [ids[3]]
    assert [one["agentId"] for one in rest.json()["agents"]] == [ids[0]]
    assert rest.json()["nextCursor"] is None
    assert is_problem(own, 500, "unreadable")
    assert "prompt" in own.json()["detail"]
    assert "save the agent again" in own.json()["errors"][0]["cure"]
    assert "retry-after" not in own.headers
    assert told(logs, ids[1])
    assert told(logs, ids[2])
    assert "canary" not in f"{logs}{own.text}"


async def test_an_agent_that_cannot_be_read_can_be_saved_again_and_deleted(
    house: House, tenant: Tenant
) -> None:
    saved, rolled_back, deleted = await save_agents(tenant, 3)
    earlier = {"config": {"agent_name": "Ada", "prompt": "earlier"}}
    assert (await tenant.http.put(f"/agents/{rolled_back}", json=earlier)).status_code == 200
    for agent_id in (saved, rolled_back, deleted):
        await spoil(house, "agents", {"agent_id": agent_id}, config=FOREIGN.seal(b"{}"))

    masked = {"config": {"agent_name": "Ada", "api_key": MASK}}
    lost = await tenant.http.put(f"/agents/{saved}", json=masked)
    again = await tenant.http.put(f"/agents/{saved}", json=earlier)
    back = await tenant.http.post(f"/agents/{rolled_back}/versions/1/restore")
    gone = await tenant.http.delete(f"/agents/{deleted}")

    assert is_problem(lost, 422, "invalid_input"), "its secrets are lost, and nothing pretends"
    assert again.status_code == 200, again.text
    assert (await tenant.http.get(f"/agents/{saved}")).json()["config"]["prompt"] == "earlier"
    assert back.status_code == 200, back.text
    assert back.json()["restoredFrom"] == 1
    assert gone.status_code == 204
    versions = (await tenant.http.get(f"/agents/{rolled_back}/versions")).json()["versions"]
    assert [one["version"] for one in versions] == [3, 1], "the one between cannot be read"
    one = await tenant.http.get(f"/agents/{rolled_back}/versions/2")
    assert is_problem(one, 500, "unreadable")
    assert one.json()["errors"][0]["field"] == "EVERLINE_ENCRYPTION_KEYS"


async def test_lists_of_calls_go_on_without_what_cannot_be_read(
    house: House, org: str, tenant: Tenant
) -> None:
    calls = PastCalls(house.archive, org)
    for name in ("a", "b"):
        await calls.call(name, "caller: A table for four", "agent: At seven?")
    one = {"org": org, "session_id": "a"}
    await spoil(house, "sessions", one, outcome=7)
    await spoil(house, "transcript_lines", one, **{"line.outcome": 7})
    await spoil(house, "turns", {**one, "role": "user"}, role=7)
    await spoil(house, "summaries", one, status=7)

    with capture_logs() as logs:
        sessions = (await tenant.http.get("/v1/sessions")).json()["sessions"]
        listed = (await tenant.http.get("/api/transcripts")).json()["transcripts"]
        turns = (await tenant.http.get("/v1/sessions/a/turns")).json()["turns"]
        record = await tenant.http.get("/v1/sessions/a")
        summary = await tenant.http.get("/v1/sessions/a/summary")

    assert [line["session_id"] for line in sessions] == ["b"]
    assert [line["sessionId"] for line in listed] == ["b"]
    assert [turn["role"] for turn in turns] == ["assistant"]
    assert is_problem(record, 500, "unreadable")
    assert "outcome" in record.json()["detail"]
    assert is_problem(summary, 500, "unreadable")
    assert told(logs, f"{org}/a")
    assert "A table" not in str(logs)


async def test_a_report_that_cannot_be_read_holds_up_no_transcript(
    house: House, org: str, tenant: Tenant
) -> None:
    calls = PastCalls(house.archive, org)
    key = await calls.call("a", "caller: A table for four", "agent: At seven?")
    body = '{"attempt": 1, "end_reason": ["teleported"]}'
    await spoil(house, "reports", {"org": org, "session_id": "a"}, body=body)
    late = {"turns": [{"role": "user", "text": "And a high chair"}]}

    with capture_logs() as logs:
        async with asyncio.timeout(30):
            answer = await tenant.http.post("/v1/sessions/a/turns", json=late)
            header = await Transcripts(house.archive.transcripts).seal(key, "ag-1", 1, START)

    assert answer.status_code == 200, answer.text
    assert (header.turn_count, header.complete) == (3, True), "the report's turns came before it"
    assert header.unreadable_reports == 1
    shown = (await tenant.http.get("/v1/sessions/a/turns")).json()["transcript"]
    assert (shown["turn_count"], shown["unreadable_reports"]) == (3, 1)
    assert told(logs, f"{org}/a/1/")
    assert "teleported" not in str(logs)


async def test_the_reaper_sees_the_others(house: House, org: str) -> None:
    calls = PastCalls(house.archive, org)
    for name in ("open", "spoilt"):
        await calls.call(name, "agent: Hello")
        await spoil(house, "sessions", {"org": org, "session_id": name}, state="live")
    await spoil(house, "sessions", {"org": org, "session_id": "spoilt"}, room_name=7)

    with capture_logs() as logs:
        found = (await house.archive.sessions.not_closed(500)).items

    assert [status.session_id for status in found if status.org == org] == ["open"]
    assert told(logs, f"{org}/spoilt")


async def test_keys_and_the_audit_log(house: House, org: str, tenant: Tenant) -> None:
    prefixes = [
        (await tenant.http.post("/v1/keys", json={"name": name})).json()["prefix"]
        for name in ("one", "two")
    ]
    await spoil(house, "api_keys", {"prefix": prefixes[0]}, scopes="fly")
    for days in (1, 2):
        await tenant.http.put("/v1/retention", json={"transcript_days": days})
    await spoil(house, "audit", {"org": org, "details.days": 1}, action="vanished")

    with capture_logs() as logs:
        keys = (await tenant.http.get("/v1/keys")).json()["keys"]
        entries = (await tenant.http.get("/v1/audit")).json()["entries"]

    assert prefixes[1] in [key["prefix"] for key in keys]
    assert prefixes[0] not in [key["prefix"] for key in keys]
    assert [entry["details"]["days"] for entry in entries] == [2]
    assert told(logs, prefixes[0])


async def test_an_endpoint_without_its_key_misses_nothing(
    house: House, org: str, tenant: Tenant
) -> None:
    url = "http://127.0.0.1:9/hook"
    for _ in range(2):
        assert (await tenant.http.post("/v1/webhooks", json={"url": url})).status_code == 201
    listed = (await tenant.http.get("/v1/webhooks")).json()["webhooks"]
    spoilt = listed[0]["webhook_id"]
    await spoil(house, "webhook_endpoints", {"endpoint_id": spoilt}, secrets=FOREIGN.seal(b"[]"))
    codec = EncryptionCodec(house.settings.everline_encryption_keys)
    runs = NoRuns()
    announcer = Announcer(
        house.archive.webhook_endpoints(codec), house.archive.webhook_deliveries, runs
    )
    calls = PastCalls(house.archive, org)

    new = await announcer.announce_session(calls.status("a", datetime.now(UTC), 5, "ag-1"))

    assert new > 0
    assert {key.org for key in runs.started} == {org}
    shown = (await tenant.http.get("/v1/webhooks")).json()["webhooks"]
    assert [one["webhook_id"] for one in shown] == [one["webhook_id"] for one in listed]
    deliveries = (await tenant.http.get("/v1/webhooks/deliveries")).json()["deliveries"]
    assert {one["webhook_id"] for one in deliveries} == {one["webhook_id"] for one in listed}
    own = await tenant.http.get(f"/v1/webhooks/{spoilt}")
    assert is_problem(own, 500, "unreadable")
    assert "'k-lost'" in own.json()["detail"]
    await spoil(
        house, "webhook_deliveries", {"delivery_id": deliveries[0]["delivery_id"]}, status=7
    )
    left = (await tenant.http.get("/v1/webhooks/deliveries")).json()["deliveries"]
    assert len(left) == len(deliveries) - 1


class NoRuns:
    """The port `DeliveryRuns`; nothing is delivered."""

    def __init__(self) -> None:
        self.started: list[Any] = []

    async def start(self, key: Any) -> None:
        self.started.append(key)

    async def start_again(self, key: Any) -> None:
        self.started.append(key)
