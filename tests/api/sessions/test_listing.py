"""Lists of sessions: every session once, over pages, with filters, with and without MongoDB."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from domain.ids import SessionKey, session_workflow_id
from domain.sessions.end_reasons import EndReason
from domain.sessions.listing import STUCK_AFTER, is_stuck
from domain.sessions.session import (
    LONGEST_QUEUE,
    Outcome,
    SessionState,
    SessionStatus,
    WaitingFor,
)
from services.sessions.listing import SessionLists
from tests.api.door import at_last, is_problem
from tests.api.house import House, Tenant, unique
from tests.api.sessions.fleet import fleet_of
from tests.waiting import eventually
from workflows.session_parts.search_attributes import ORG, STATE

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Office:
    """A tenant, and its list."""

    house: House
    tenant: Tenant
    org: str

    async def listed(self, **query: Any) -> list[dict[str, Any]]:
        """All pages."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            given = query | ({"cursor": cursor} if cursor else {})
            answer = await self.tenant.http.get("/v1/sessions", params=given)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert len(page["sessions"]) <= query.get("limit", 50)
            found += page["sessions"]
            cursor = page["next"]
            if cursor is None:
                return found

    async def names(self, **query: Any) -> list[str]:
        return [line["session_id"] for line in await self.listed(**query)]

    async def until_listed(self, names: list[str], **query: Any) -> None:
        """Temporal's list is a moment behind."""

        async def seen() -> bool:
            return await self.names(**query) == names

        await eventually(seen, what=f"{query}: {names}")

    async def steer(self, name: str, verb: str, body: Any = None) -> httpx.Response:
        """What an operator does to a session; under a key, it is done once."""
        path, once = f"/v1/sessions/{name}/{verb}", {"Idempotency-Key": unique(verb)}
        return await at_last(lambda: self.tenant.http.post(path, json=body, headers=once))

    async def record(self, name: str, number: int, **changed: Any) -> None:
        """A closed session in the archive, as its workflow would have recorded it."""
        status = SessionStatus(
            org=self.org,
            session_id=name,
            room_name=f"{self.org}.{name}",
            state=SessionState.CLOSED,
            waiting_for=WaitingFor.NOTHING,
            version=10,
            agent_name="test-agent",
            outcome=Outcome.COMPLETED,
            end_reason=EndReason.AGENT_ENDED,
            started_at=START + timedelta(minutes=number),
            closed_at=START + timedelta(minutes=number + 5),
        )
        await self.house.archive.sessions.record(status.model_copy(update=changed))


@pytest.fixture
async def office(house: House) -> AsyncGenerator[Office]:
    org = unique("acme")
    async with house.open() as app:
        yield Office(house, Tenant(app, await house.key(org)), org)
    await house.quiet()


@pytest.fixture
async def forgetful(house: House) -> AsyncGenerator[Office]:
    """Without MongoDB: Temporal knows the closed ones for as long as it keeps them."""
    org = unique("acme")
    async with house.open(lists=SessionLists(house.listing, None)) as app:
        yield Office(house, Tenant(app, await house.key(org)), org)
    await house.quiet()


async def test_open_ones_come_first_and_every_session_once(office: Office) -> None:
    for number in range(5):
        await office.record(f"closed-{number}", number)
    for number in range(3):
        assert (await office.tenant.start(f"open-{number}")).status_code == 202
    expected = [
        *(f"open-{number}" for number in (2, 1, 0)),
        *(f"closed-{number}" for number in (4, 3, 2, 1, 0)),
    ]
    await office.until_listed(expected)
    for limit in (1, 2, 3, 4, 7, 8):
        assert await office.names(limit=limit) == expected


async def test_a_line_says_what_an_operator_needs(office: Office) -> None:
    await office.tenant.start("a", wait="dispatched")

    async def dispatched() -> bool:
        lines = await office.listed()
        return [line["waiting_for"] for line in lines] == ["agent_join"]

    await eventually(dispatched)
    [line] = await office.listed()
    assert line | {"started_at": "", "waiting_since": ""} == {
        "session_id": "a",
        "room_name": f"{office.org}.a",
        "agent": "test-agent",
        "state": "joining",
        "waiting_for": "agent_join",
        "waiting_since": "",
        "stuck": False,
        "outcome": None,
        "end_reason": None,
        "attempt": 1,
        "started_at": "",
        "closed_at": None,
        "metadata": {},
    }
    since, started = (datetime.fromisoformat(line[at]) for at in ("waiting_since", "started_at"))
    assert since >= started


async def test_sessions_of_the_same_millisecond_are_not_lost_between_pages(office: Office) -> None:
    for number in range(6):
        await office.record(f"same-{number}", 0)
    for limit in (1, 2, 5):
        found = await office.names(limit=limit)
        assert sorted(found) == [f"same-{number}" for number in range(6)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"outcome": "agent_lost"}, ["lost"]),
        ({"outcome": "completed"}, ["late", "early"]),
        ({"agent": "sales"}, ["lost"]),
        ({"agent": "test-agent"}, ["late", "early"]),
        ({"state": "closed"}, ["late", "lost", "early"]),
        ({"state": "live"}, []),
        ({"stuck": True}, []),
        ({"started_after": START.isoformat()}, ["late", "lost", "early"]),
        ({"started_before": START.isoformat()}, []),
        ({"started_after": (START + timedelta(minutes=1)).isoformat()}, ["late", "lost"]),
        (
            {
                "started_after": START.isoformat(),
                "started_before": (START + timedelta(minutes=2)).isoformat(),
                "outcome": "completed",
            },
            ["early"],
        ),
    ],
)
async def test_filters_of_closed_sessions(
    office: Office, query: dict[str, Any], expected: list[str]
) -> None:
    await office.record("early", 0)
    await office.record("lost", 1, outcome=Outcome.AGENT_LOST, agent_id="sales")
    await office.record("late", 2)
    await office.record("not-closed", 3, state=SessionState.LIVE, outcome=None)
    assert await office.names(**query) == expected
    assert await office.names(**query, limit=1) == expected


async def test_filters_of_open_sessions(office: Office) -> None:
    before = datetime.now(UTC)
    await office.tenant.start("plain", wait="dispatched")
    await office.tenant.start("sales", wait="dispatched", agent_config={"agent_id": "ag-1"})
    await office.until_listed(["sales", "plain"], state="joining")
    assert await office.names(agent="ag-1") == ["sales"]
    assert await office.names(agent="test-agent") == ["plain"]
    assert await office.names(started_after=before.isoformat()) == ["sales", "plain"]
    assert await office.names(started_before=before.isoformat()) == []
    assert await office.names(outcome="completed") == []
    assert await office.names(stuck=True) == []


@pytest.mark.parametrize("name", ["started_after", "started_before"])
async def test_times_at_the_ends_of_the_calendar(office: Office, name: str) -> None:
    for time in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        answer = await office.tenant.http.get("/v1/sessions", params={name: time})
        assert (answer.status_code, answer.json()) == (200, {"sessions": [], "next": None})
    for time in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        answer = await office.tenant.http.get("/v1/sessions", params={name: time})
        assert is_problem(answer, 422, "invalid_input"), "in UTC there is no such time"


async def test_what_waits_for_a_machine_for_too_long_is_stuck() -> None:
    now = datetime.now(UTC)
    long_ago = now - STUCK_AFTER - timedelta(seconds=1)
    assert is_stuck(WaitingFor.ROOM_DELETION, long_ago, now)
    assert is_stuck(WaitingFor.NOTHING, long_ago, now), "closed, and its room is still there"
    assert not is_stuck(WaitingFor.ROOM_DELETION, now, now)
    assert not is_stuck(WaitingFor.CALL_END, long_ago, now), "people may talk for long"
    assert not is_stuck(WaitingFor.ROOM, None, now)


@pytest.mark.parametrize("queue_seconds", [0.0, 30.0, LONGEST_QUEUE, None])
async def test_a_session_in_the_queue_is_not_stuck_while_its_time_runs(
    queue_seconds: float | None,
) -> None:
    now, waits = datetime.now(UTC), WaitingFor.AGENT_CAPACITY
    allowed = timedelta(seconds=LONGEST_QUEUE if queue_seconds is None else queue_seconds)
    assert not is_stuck(waits, now - allowed, now, queue_seconds)
    assert is_stuck(waits, now - allowed - 2 * STUCK_AFTER, now, queue_seconds)
    assert is_stuck(WaitingFor.AGENT_JOIN, now - 2 * STUCK_AFTER, now, queue_seconds)


async def test_a_session_that_may_wait_long_in_the_queue_is_not_listed_as_stuck(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.temporal.listing.STUCK_AFTER", timedelta(seconds=0))
    monkeypatch.setattr("domain.sessions.listing.STUCK_AFTER", timedelta(seconds=0))
    async with fleet_of(house, 1) as fleet:
        acme = await fleet.tenant()
        await acme.live("first")
        await acme.start("second")
        await acme.until("second", state=SessionState.QUEUED)
        office = Office(house, acme.tenant, acme.org)
        await office.until_listed(["second"], state="queued")
        [line] = await office.listed(state="queued")
        assert (line["stuck"], line["waiting_for"]) == (False, "agent_capacity")
        assert await office.names(stuck=True) == []


async def test_stuck_ones_are_found_by_temporal_itself(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.tenant.start("waits", wait="dispatched")
    await office.until_listed(["waits"], state="joining")
    assert await office.names(stuck=True) == []
    monkeypatch.setattr("adapters.temporal.listing.STUCK_AFTER", timedelta(seconds=0))
    monkeypatch.setattr("domain.sessions.listing.STUCK_AFTER", timedelta(seconds=0))
    await office.until_listed(["waits"], stuck=True)
    [line] = await office.listed(stuck=True)
    assert line["stuck"] is True


async def test_without_mongodb_temporal_remembers_the_closed_ones(forgetful: Office) -> None:
    for name in ("a", "b", "c"):
        await forgetful.tenant.start(name)
    await forgetful.tenant.end("a")
    await forgetful.until_listed(["c", "b", "a"])
    await forgetful.until_listed(["a"], outcome="cancelled")
    # It says how it ended a moment before its workflow is over, and the list goes by that.
    ended_first = session_workflow_id(SessionKey(forgetful.org, "a"))
    await forgetful.house.temporal.get_workflow_handle(ended_first).result()
    await forgetful.house.terminate(SessionKey(forgetful.org, "b"))
    await forgetful.until_listed(["c", "b", "a"], limit=1)
    await forgetful.until_listed(["b", "a"], state="closed")
    await forgetful.until_listed(["b"], outcome="failed")
    await forgetful.until_listed(["a"], outcome="cancelled")
    terminated, ended = await forgetful.listed(state="closed")
    assert (terminated["state"], terminated["end_reason"]) == ("closed", "failed")
    itself = (await forgetful.tenant.http.get("/v1/sessions/b")).json()
    assert (itself["state"], itself["end_reason"]) == ("closed", "failed"), "as in the list"
    assert (ended["state"], ended["end_reason"]) == ("closed", "end_requested")


async def test_what_is_no_session_of_ours_hides_no_other(office: Office) -> None:
    # By hand, and by an Everline that knows a state which this one does not.
    by_hand, newer = unique("by-hand"), unique("newer")
    for workflow_id, state in ((by_hand, "live"), (f"session/{office.org}/{newer}", "dreaming")):
        await office.house.temporal.start_workflow(
            "session",
            id=workflow_id,
            task_queue=office.house.settings.temporal_task_queue,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(ORG, office.org), SearchAttributePair(STATE, state)]
            ),
            start_delay=timedelta(hours=1),
        )
    assert (await office.tenant.start("ours")).status_code == 202

    with capture_logs() as logs:
        await office.until_listed(["ours", newer])

        async def is_named() -> bool:
            await office.names()
            named = {line["workflow"] for line in logs if "not listable" in line["event"]}
            return named == {by_hand}

        await eventually(is_named)
    listed = {line["session_id"]: line["state"] for line in await office.listed()}
    assert listed[newer] == "live", "the fallback for a state that is not known"


@pytest.mark.parametrize("cursor", ["x", "o!", "oAAAA", "rnonsense", "r99999999999999999.x", "t%"])
async def test_a_cursor_of_nothing_is_refused(office: Office, cursor: str) -> None:
    answer = await office.tenant.http.get("/v1/sessions", params={"cursor": cursor})
    assert is_problem(answer, 422, "invalid_input")
    assert answer.json()["errors"][0]["field"] == "cursor"


async def test_a_cursor_leads_nowhere_but_into_the_own_list(house: House, office: Office) -> None:
    for number in range(3):
        await office.record(f"closed-{number}", number)
    page = (await office.tenant.http.get("/v1/sessions", params={"limit": 2})).json()
    async with house.open() as app:
        other = Tenant(app, await house.key(unique("globex")))
        answer = await other.http.get("/v1/sessions", params={"cursor": page["next"]})
    assert answer.json() == {"sessions": [], "next": None}


# ── steering ─────────────────────────────────────────────────────────────────────────────────────


async def test_operators_steer_a_session(office: Office) -> None:
    await office.tenant.start("a", wait="dispatched")
    for verb, body in (("extend", {"seconds": 60}), ("redispatch", None)):
        answer = await office.steer("a", verb, body)
        assert is_problem(answer, 409, "conflict"), "no call is in progress"
    answer = await office.tenant.http.post("/v1/sessions/a/extend", json={"seconds": -1})
    assert is_problem(answer, 422, "invalid_input")

    answer = await office.steer("a", "finalise")
    assert answer.status_code == 200

    async def closed() -> bool:
        return await office.tenant.state("a") == "closed"

    await eventually(closed)
    status = (await office.tenant.http.get("/v1/sessions/a")).json()
    assert status["end_reason"] == "operator"
    for verb, body in (("extend", {"seconds": 60}), ("redispatch", None), ("finalise", None)):
        answer = await office.steer("a", verb, body)
        assert is_problem(answer, 409, "conflict"), "it is closed"
