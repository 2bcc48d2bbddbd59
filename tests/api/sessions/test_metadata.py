"""A session's metadata: given at its start, returned with it everywhere, and lists filter by it."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from domain.ids import SessionKey, session_workflow_id
from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import SessionResult
from domain.webhooks.session_events import events_of_session
from services.sessions.listing import SessionLists
from tests.api.archives import PastCalls
from tests.api.door import JSON, Door, is_problem
from tests.api.house import House, Tenant, unique
from tests.fakes.agents import Plays
from tests.waiting import eventually

GIVEN = {"order": "42", "note": "naïve 🍕, two\nlines"}
START = "/v1/sessions/start"


@dataclass
class Office:
    """A tenant, and its lists."""

    house: House
    tenant: Tenant
    org: str

    async def names(self, **query: Any) -> list[str]:
        """The sessions on all pages."""
        found: list[str] = []
        cursor: str | None = None
        while True:
            given = query | ({"cursor": cursor} if cursor else {})
            answer = await self.tenant.http.get("/v1/sessions", params=given)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert len(page["sessions"]) <= query.get("limit", 50)
            found += [line["session_id"] for line in page["sessions"]]
            cursor = page["next"]
            if cursor is None:
                return found

    async def until_listed(self, names: list[str], **query: Any) -> None:
        """Temporal's list is a moment behind."""

        async def seen() -> bool:
            return await self.names(**query) == names

        await eventually(seen, what=f"{query}: {names}")

    async def end(self, name: str) -> None:
        """End a session, and wait until its workflow is over."""
        await self.tenant.end(name)
        workflow_id = session_workflow_id(SessionKey(self.org, name))
        await self.house.temporal.get_workflow_handle(workflow_id).result()


@pytest.fixture(params=["MongoDB", "no MongoDB"])
async def office(house: House, request: pytest.FixtureRequest) -> AsyncGenerator[Office]:
    org = unique("acme")
    records = house.archive.sessions if request.param == "MongoDB" else None
    async with house.open(lists=SessionLists(house.listing, records)) as app:
        yield Office(house, Tenant(app, await house.key(org)), org)
    await house.quiet()


async def test_it_is_in_the_answer_the_status_the_events_and_the_result(door: Door) -> None:
    call = door.studio.call(Plays(report_when_removed=False))
    body = {
        "session_id": call.key.session_id,
        "room_name": call.request.room_name,
        "user_identity": "caller",
        "limits": call.request.limits.model_dump(),
        "metadata": GIVEN,
    }
    started = await door.http.post(START, json=body, params={"wait": "joined"})
    await call.until("joined", lambda status: status.joins > 0)
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.closed()

    assert started.json()["metadata"] == GIVEN
    path = f"/v1/sessions/{call.key.session_id}"
    assert (await door.http.get(path)).json()["metadata"] == GIVEN
    events = (await door.http.get(f"{path}/events")).text
    states = [json.loads(line[6:]) for line in events.splitlines() if '"timeline"' in line]
    assert states[-1]["metadata"] == GIVEN
    handle = door.studio.client.get_workflow_handle(
        session_workflow_id(call.key), result_type=SessionResult
    )
    assert (await handle.result()).metadata == GIVEN


async def test_it_is_encrypted_in_temporal(office: Office) -> None:
    await office.tenant.start("secret", metadata={"order": "canary-4711"})

    workflow_id = session_workflow_id(SessionKey(office.org, "secret"))
    handle = office.house.temporal.get_workflow_handle(workflow_id)
    history = await handle.fetch_history()
    described = await handle.describe()

    stored = b"".join(event.SerializeToString() for event in history.events)
    assert b"canary" not in stored + described.raw_description.SerializeToString()


async def test_the_other_start_route_takes_and_returns_it(door: Door) -> None:
    call = door.studio.call()
    body = {
        "userIdentity": "caller",
        "sessionId": call.key.session_id,
        "roomName": call.request.room_name,
        "limits": call.request.limits.model_dump(),
    }
    started = await door.http.post("/session", json=body | {"metadata": GIVEN})

    assert started.json()["metadata"] == GIVEN
    assert (await call.status()).metadata == GIVEN
    other = await door.http.post("/session", json=body | {"metadata": {"order": "43"}})
    assert is_problem(other, 409, "idempotency_mismatch")
    await call.end()
    await call.closed()


FAULTS: list[tuple[Any, str, str, str]] = [
    ({"order": 42}, "metadata.order", "string", "quotes"),
    ({"order": None}, "metadata.order", "string", "quotes"),
    ({"order": {"id": "42"}}, "metadata.order", "string", "quotes"),
    ({"order id": "42"}, "metadata.order id.[key]", "pattern", "A-Z a-z 0-9 _ -"),
    ({"": "42"}, "metadata..[key]", "pattern", "A-Z a-z 0-9 _ -"),
    ({"a[b]": "42"}, "metadata.a[b].[key]", "pattern", "A-Z a-z 0-9 _ -"),
    ({f"k{n}": "" for n in range(17)}, "metadata", "17 keys", "up to 16"),
    ({"text": "x" * 4093}, "metadata", "4097 bytes", "its id"),
    ({"text": "ä" * 2047}, "metadata", "4098 bytes", "its id"),
    ({"text": "\ud800"}, "metadata.text", "Unicode", "surrogates"),
    (["order"], "metadata", "must be a JSON object", ""),
    ("order=42", "metadata", "must be a JSON object", ""),
]


@pytest.mark.parametrize(("given", "field", "reason", "cure"), FAULTS)
async def test_what_does_not_fit_is_refused_with_the_field_and_the_cure(
    door: Door, given: Any, field: str, reason: str, cure: str
) -> None:
    headers = {"content-type": "application/json"}
    for path, more in ((START, {}), ("/session", {"userIdentity": "ann"})):
        content = json.dumps({"metadata": given} | more)
        answer = await door.http.post(path, content=content, headers=headers)

        assert is_problem(answer, 422, "invalid_input")
        [fault] = answer.json()["errors"]
        assert fault["field"] == field
        assert reason in fault["reason"]
        assert cure in fault.get("cure", "")


async def test_the_largest_metadata_is_taken(office: Office) -> None:
    keys = {f"{n:0128}": "" for n in range(15)}
    largest = keys | {"k": "x" * (4096 - 15 * 128 - 1)}

    answer = await office.tenant.start("large", metadata=largest)

    assert answer.status_code == 202, answer.text
    assert answer.json()["metadata"] == largest
    await office.until_listed(["large"], **{"metadata[k]": largest["k"]})


async def test_lists_are_filtered_by_it_whether_sessions_are_open_or_closed(
    office: Office,
) -> None:
    await office.tenant.start("a", metadata={"order": "42", "shop": "x"})
    await office.tenant.start("b", metadata={"order": "43"})
    await office.tenant.start("c", metadata={"order": "42", "shop": "y"})
    await office.tenant.start("d")
    await office.until_listed(["d", "c", "b", "a"])

    for ended in ([], ["a"], ["c"], ["b", "d"]):
        for name in ended:
            await office.end(name)
        for limit in (1, 50):
            # An ended one moves behind the open ones, and Temporal's list is a moment behind.
            async def listed(limit: int = limit) -> bool:
                found = await office.names(limit=limit, **{"metadata[order]": "42"})
                return sorted(found) == ["a", "c"]

            await eventually(listed)
            assert await office.names(
                limit=limit, **{"metadata[order]": "42", "metadata[shop]": "y"}
            ) == ["c"]
        assert await office.names(**{"metadata[order]": "4"}) == [], "only the whole value"
        assert await office.names(**{"metadata[shop]": "42"}) == [], "a value of another key"
    assert await office.names(state="closed", **{"metadata[order]": "43"}) == ["b"]
    [line] = (
        await office.tenant.http.get("/v1/sessions", params={"metadata[order]": "43"})
    ).json()["sessions"]
    assert line["metadata"] == {"order": "43"}


async def test_a_filter_over_many_open_sessions_loses_none(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.temporal.listing.PAGE_SIZE", 3)
    monkeypatch.setattr("adapters.temporal.listing.MOST_PAGES", 2)
    for number in range(10):
        kind = {"kind": "odd"} if number % 2 else {}
        await office.tenant.start(f"s-{number}", metadata=kind)
    await office.until_listed([f"s-{number}" for number in range(9, -1, -1)])

    for limit in (1, 2, 3, 50):
        found = await office.names(limit=limit, **{"metadata[kind]": "odd"})
        assert found == ["s-9", "s-7", "s-5", "s-3", "s-1"]


async def test_a_terminated_session_keeps_it(office: Office) -> None:
    # Temporal answers no question about a workflow that ended before its first task.
    await office.tenant.start("cut", wait="dispatched", metadata={"order": "7"})
    await office.until_listed(["cut"])
    await office.house.terminate(SessionKey(office.org, "cut"))

    async def told() -> bool:
        answer = await office.tenant.http.get("/v1/sessions/cut")
        return answer.json().get("state") == "closed" and answer.json()["metadata"] == {
            "order": "7"
        }

    await eventually(told)


QUERIES = [
    ("metadata=42", "metadata", "metadata[order]=42"),
    ("metadata[]=42", "metadata[]", "A-Z a-z 0-9 _ -"),
    ("metadata[a b]=42", "metadata[a b]", "A-Z a-z 0-9 _ -"),
    ("metadata[a]=1&metadata[a]=2", "metadata[a]", "send one of them"),
    ("&".join(f"metadata[k{n}]=1" for n in range(17)), "metadata", "send up to 16"),
    ("metdata[order]=42", "metdata[order]", "did you mean `metadata`?"),
    ("limit[order]=42", "limit[order]", "did you mean `limit`?"),
]


@pytest.mark.parametrize("path", ["/v1/sessions", "/api/transcripts", "/api/transcripts/agent/a"])
@pytest.mark.parametrize(("query", "field", "cure"), QUERIES)
async def test_a_malformed_filter_is_refused(
    door: Door, path: str, query: str, field: str, cure: str
) -> None:
    answer = await door.http.get(httpx.URL(path, query=query.encode()))

    assert is_problem(answer, 422, "invalid_input")
    [fault] = answer.json()["errors"]
    assert (fault["field"], cure in fault["cure"]) == (field, True)


async def test_a_request_without_a_key_learns_nothing_of_it(keyless: Door) -> None:
    answer = await keyless.http.get("/v1/sessions?metadata=42")

    assert is_problem(answer, 401, "unauthenticated")


async def test_transcripts_have_it_and_are_filtered_by_it(house: House) -> None:
    org = unique("acme")
    calls = PastCalls(house.archive, org)
    await calls.call("a", "caller: Hello", minute=0, metadata={"order": "42", "shop": "x"})
    await calls.call("b", "caller: Hello", minute=1, metadata={"order": "43"})
    await calls.call("c", "caller: Hello", minute=2)
    async with house.open() as app:
        tenant = Tenant(app, await house.key(org))

        async def names(**query: str) -> list[str]:
            answer = await tenant.http.get("/api/transcripts", params=query)
            return [line["sessionId"] for line in answer.json()["transcripts"]]

        assert await names(**{"metadata[order]": "42"}) == ["a"]
        assert await names(**{"metadata[order]": "43", "metadata[shop]": "x"}) == []
        assert await names(**{"metadata[order]": "42", "q": "hello"}) == ["a"]
        assert await names() == ["c", "b", "a"]
        one: JSON = (await tenant.http.get("/api/transcripts/a")).json()
        assert one["metadata"] == {"order": "42", "shop": "x"}
        lines = (await tenant.http.get("/api/transcripts/b/export?format=jsonl")).text
        assert json.loads(lines.splitlines()[0])["metadata"] == {"order": "43"}


async def test_webhooks_of_the_session_carry_it(office: Office) -> None:
    await office.tenant.start("told", metadata=GIVEN)
    await office.end("told")
    status = await office.house.archive.sessions.get(SessionKey(office.org, "told"))
    assert status is not None

    events = list(events_of_session(status))

    assert {event.type.value for event in events} >= {"session.started", "session.ended"}
    assert all(event.data["metadata"] == GIVEN for event in events)
    assert json.loads(events[0].body())["data"]["metadata"] == GIVEN
