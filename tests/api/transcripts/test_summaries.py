"""Summaries by the API: with an analysis by the agent's plan, and asked for again."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from domain.errors import InvalidInput, Unavailable
from domain.ids import SessionKey, summary_workflow_id
from tests.api.door import is_problem
from tests.api.house import House, Tenant, unique
from tests.api.played_call import QUICK, agents_in, say
from tests.fakes.agents import Plays
from tests.fakes.webhook_receiver import webhook_receiver
from tests.waiting import eventually

JSON = dict[str, Any]
PLAN: JSON = {
    "summary_prompt": "For the kitchen.",
    "data_schema": {"type": "object", "properties": {"turns": {"type": "integer"}}},
    "success_criteria": [{"id": "booked", "description": "a table was booked"}],
}


@pytest.fixture
async def org() -> str:
    return unique("customer")


@pytest.fixture
async def tenant(house: House, org: str) -> AsyncGenerator[Tenant]:
    async with house.open() as app:
        yield Tenant(app, await house.key(org))


async def called(house: House, tenant: Tenant, org: str, text: str, plan: JSON | None) -> str:
    """The id of a session in which a text was said, once it is closed."""
    key = SessionKey(org, unique("call"))
    config = {"analysis": plan} if plan else {}
    async with agents_in(house, key, Plays()):
        started = await tenant.start(
            key.session_id, wait="joined", limits=QUICK, agent_config=config
        )
        assert started.status_code == 200, started.text
        await say(house, key, text)
        await tenant.end(key.session_id)
        await until_closed(tenant, key.session_id)
    return f"/v1/sessions/{key.session_id}/summary"


async def until_closed(tenant: Tenant, session_id: str) -> None:
    async def closed() -> bool:
        return await tenant.state(session_id) == "closed"

    await eventually(closed, 60, f"{session_id} closed")


async def rerun(tenant: Tenant, path: str, body: JSON | None = None) -> JSON:
    """Ask again, also if the run before is a little late with its end."""
    found: list[httpx.Response] = []

    async def accepted() -> bool:
        found.append(await tenant.http.post(path, json=body))
        assert found[-1].status_code in (202, 409), found[-1].text
        return found[-1].status_code == 202

    await eventually(accepted, 60, f"another summary at {path}")
    return found[-1].json()


async def until_settled(tenant: Tenant, path: str, revision: int) -> JSON:
    """The summary of a revision, once neither it nor its analysis is pending."""
    found: list[JSON] = []

    async def settled() -> bool:
        found.append((await tenant.http.get(path)).json())
        last = found[-1]
        analysis: JSON = last.get("analysis") or {"status": None}
        there = last["revision"] == revision and last["status"] != "pending"
        return there and analysis["status"] != "pending"

    await eventually(settled, 60, f"revision {revision} at {path}")
    return found[-1]


async def test_a_call_is_analysed_by_its_agents_plan(
    house: House, tenant: Tenant, org: str
) -> None:
    path = await called(house, tenant, org, "a table for four", PLAN)
    summary = await until_settled(tenant, path, 1)
    assert (summary["status"], summary["text"]) == ("ready", "1 turns about a table for four")
    assert summary["plan"] == PLAN
    assert summary["analysis"] == {
        "status": "ready",
        "reason": None,
        "data": {"turns": 1},
        "criteria": [{"id": "booked", "result": "success", "rationale": "as scripted"}],
        "success": True,
        "attempts": 1,
    }


async def test_without_a_plan_there_is_no_analysis(house: House, tenant: Tenant, org: str) -> None:
    path = await called(house, tenant, org, "nothing to find out", None)
    summary = await until_settled(tenant, path, 1)
    assert (summary["status"], summary["analysis"], summary["plan"]) == ("ready", None, None)


async def test_an_analysis_that_fails_says_why_and_can_be_asked_for_again(
    house: House, tenant: Tenant, org: str
) -> None:
    text = unique("hard to analyse")
    house.analyst.faults[text] = [
        Unavailable("the model is busy", retry_after=0),
        InvalidInput("the model's answer did not fit the schema, twice"),
    ]
    path = await called(house, tenant, org, text, PLAN)
    summary = await until_settled(tenant, path, 1)
    assert summary["status"] == "ready"
    assert summary["analysis"]["status"] == "failed"
    assert summary["analysis"]["reason"] == "the model's answer did not fit the schema, twice"
    assert summary["analysis"]["attempts"] == 2

    again = await rerun(tenant, path)
    assert (again["status"], again["revision"]) == ("pending", 2)
    assert again["text"] == summary["text"], "readable until the next one is ready"
    summary = await until_settled(tenant, path, 2)
    assert (summary["status"], summary["analysis"]["status"]) == ("ready", "ready")


async def test_another_plan_for_a_call_that_is_over(house: House, tenant: Tenant, org: str) -> None:
    path = await called(house, tenant, org, "late wishes", None)
    await until_settled(tenant, path, 1)
    given = {"success_criteria": PLAN["success_criteria"]}
    await rerun(tenant, path, {"analysis": given})
    second = await until_settled(tenant, path, 2)
    assert (second["analysis"]["success"], second["analysis"]["data"]) == (True, None)
    # The plan is kept until another one, or none, is asked for.
    await rerun(tenant, path, {})
    assert (await until_settled(tenant, path, 3))["plan"] == second["plan"]
    await rerun(tenant, path, {"analysis": None})
    assert (await until_settled(tenant, path, 4))["analysis"] is None


async def test_there_is_one_writer_and_one_event_a_revision(
    house: House, tenant: Tenant, org: str
) -> None:
    async with webhook_receiver() as receiver:
        made = await tenant.http.post(
            "/v1/webhooks", json={"url": f"{receiver.url}/ok", "events": ["summary.ready"]}
        )
        text = unique("many at once")
        path = await called(house, tenant, org, text, None)
        await until_settled(tenant, path, 1)
        first = summary_workflow_id(SessionKey(org, path.split("/")[3]))
        await house.temporal.get_workflow_handle(first).result()
        gate = house.summariser.gates[text] = asyncio.Event()
        answers = await asyncio.gather(*(tenant.http.post(path) for _ in range(5)))
        gate.set()
        # While one of them writes, the others are refused.
        assert sorted(answer.status_code for answer in answers) == [202, *[409] * 4]
        assert (await until_settled(tenant, path, 2))["text"]
        await eventually(lambda: len(receiver.requests) >= 2, 60, "two events")
        events = [request.verified(made.json()["secret"]) for request in receiver.requests]
        assert sorted(event["data"]["revision"] for event in events) == [1, 2]
        assert len({request.event_id for request in receiver.requests}) == 2


async def test_what_is_refused(house: House, tenant: Tenant, org: str) -> None:
    unknown = await tenant.http.post("/v1/sessions/nobody/summary")
    assert is_problem(unknown, 404, "not_found")
    session_id = unique("call")
    await tenant.start(session_id)
    early = await tenant.http.post(f"/v1/sessions/{session_id}/summary")
    assert is_problem(early, 409, "conflict")
    await tenant.end(session_id)
    bad = {"type": "object", "properties": {"a": {"type": "text"}}}
    wrong: list[tuple[JSON, str]] = [
        ({"analysis": {"data_schema": bad}}, "analysis.data_schema"),
        ({"analysis": {"success_criteria": [{"id": "a"}]}}, "analysis.success_criteria"),
        ({"plan": {}}, "plan"),
    ]
    for body, field in wrong:
        refused = await tenant.http.post(f"/v1/sessions/{session_id}/summary", json=body)
        assert is_problem(refused, 422, "invalid_input")
        assert field in refused.json()["errors"][0]["field"]
    refused = await tenant.http.post(
        "/v1/sessions/start", json={"agent_config": {"analysis": {"data_schema": bad}}}
    )
    assert is_problem(refused, 422, "invalid_input")
    assert refused.json()["errors"][0]["field"] == "agent_config.analysis.data_schema"
    assert "properties/a/type" in refused.json()["errors"][0]["reason"]
