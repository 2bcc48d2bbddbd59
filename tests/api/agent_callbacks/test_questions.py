"""What agents ask during a call, with their callback token."""

import json
from datetime import UTC, datetime

import httpx

from domain.access.principal import Principal
from domain.agents.config import AgentConfig
from domain.agents.masking import MASK
from domain.ids import SessionKey
from tests.api.agents.test_agents import create, naming, office, put
from tests.api.door import Door, at_last, is_problem
from tests.workflows.calls import Call

__all__ = ["office"]

TOOL = {
    "name": "order_status",
    "description": "Tells the status of an order.",
    "url": "https://shop.test/orders",
    "headers": {"Authorization": "Bearer canary"},
}


async def finish(call: Call) -> None:
    await call.end()
    await call.closed()


async def test_an_agent_gets_the_saved_agent_that_takes_over_with_its_secrets(office: Door) -> None:
    made = await create(
        office,
        prompt="You know bills.",
        api_key="lyzr-canary",
        tools=["end_call", "fly"],
        http_tools=[TOOL],
        managed_agents={
            "enabled": True,
            "agents": [{"id": "ag-1", "name": "Desk", "usage_description": "the rest"}],
        },
    )
    # Clients see neither secret.
    assert made["config"]["http_tools"][0]["headers"] == {"Authorization": MASK}
    path = f"/v1/agent/managed-agents/{made['agentId']}"
    call = await office.start_with(agentConfig=naming(made["agentId"], "ag-none"))
    token = office.as_agent(call.key)

    answer = await office.http.get(path, headers=token)

    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["prompt"], found["agentId"]) == ("You know bills.", made["agentId"])
    assert (found["apiKey"], found["tools"]) == ("lyzr-canary", ["end_call"])
    assert found["http_tools"][0]["headers"] == TOOL["headers"]
    assert [one["name"] for one in found["managed_agents"]] == ["Desk"]
    assert "everline" not in found

    unknown = await office.http.get("/v1/agent/managed-agents/ag-none", headers=token)
    assert is_problem(unknown, 404, "not_found")
    assert is_problem(await office.http.get(path), 401, "unauthenticated")
    await finish(call)
    # After the close a token may only hand in what is left.
    assert is_problem(await office.http.get(path, headers=token), 403, "forbidden")


async def test_an_agent_of_another_org_does_not_exist(office: Door) -> None:
    assert office.deps.agents is not None
    victim = Principal(org="victim", user_id="anna", is_admin=False)
    config = AgentConfig(agent_name="Anna's", prompt="secret")
    foreign = await office.deps.agents.create(victim, config, datetime.now(UTC))
    call = await office.start_with(agentConfig=naming(foreign.agent.agent_id))

    answer = await office.http.get(
        f"/v1/agent/managed-agents/{foreign.agent.agent_id}", headers=office.as_agent(call.key)
    )

    assert is_problem(answer, 404, "not_found")
    assert "secret" not in answer.text
    await finish(call)


async def test_only_agents_that_can_take_over_the_session_are_given(office: Door) -> None:
    hidden = await create(office, prompt="canary", api_key="canary")
    last = await create(office, **naming("ag-gone"))
    between = await create(office, **naming(last["agentId"]))
    switched_off = await create(office, **naming(hidden["agentId"], enabled=False))
    named = naming("no id", "ag-gone", between["agentId"], switched_off["agentId"])
    call = await office.start_with(agentConfig=named)

    async def get(agent_id: str) -> httpx.Response:
        path = f"/v1/agent/managed-agents/{agent_id}"
        return await office.http.get(path, headers=office.as_agent(call.key))

    for one in (between, switched_off, last):
        answer = await get(one["agentId"])
        assert answer.status_code == 200, answer.text

    async def is_refused() -> bool:
        kept, unknown = await get(hidden["agentId"]), await get("ag-unknown")
        same = without_id(kept, hidden["agentId"]) == without_id(unknown, "ag-unknown")
        return is_problem(kept, 404, "not_found") and same

    assert await is_refused()
    # What a session may hand over to was decided when it started.
    root = await create(office, **naming(last["agentId"]))
    await finish(call)
    call = await office.start_with(agentId=root["agentId"])
    await put(office, root, {"agent_name": "Ada"} | naming(hidden["agentId"]))
    assert await is_refused()
    # Once an agent that takes over is changed, it may be told of others.
    await put(office, last, {"agent_name": "Ada"} | naming(hidden["agentId"]))
    assert (await get(hidden["agentId"])).status_code == 200
    await put(office, last, {"agent_name": "Ada"})
    assert await is_refused()
    await finish(call)


async def test_agents_that_name_each_other_are_read_once(office: Door) -> None:
    first = await create(office)
    second = await create(office, **naming(first["agentId"]))
    await put(office, first, {"agent_name": "Ada"} | naming(first["agentId"], second["agentId"]))
    call = await office.start_with(agentConfig=naming(first["agentId"]))

    answer = await office.http.get(
        "/v1/agent/managed-agents/ag-unknown", headers=office.as_agent(call.key)
    )

    assert is_problem(answer, 404, "not_found")
    await finish(call)


def without_id(answer: httpx.Response, agent_id: str) -> str:
    problem = {**answer.json(), "request_id": None}
    return json.dumps(problem).replace(agent_id, "ID")


async def test_an_agent_is_told_how_long_its_call_may_last(office: Door) -> None:
    call = await office.live(max_duration=600)
    token = office.as_agent(call.key)

    before = (await office.http.get("/v1/agent/time-left", headers=token)).json()["remaining"]
    path, once = f"/v1/sessions/{call.key.session_id}/extend", {"Idempotency-Key": "once"}
    await at_last(lambda: office.http.post(path, json={"seconds": 300}, headers=once))
    after = (await office.http.get("/v1/agent/time-left", headers=token)).json()["remaining"]

    assert 0 < before <= 600 < after <= 900
    nobody = office.as_agent(SessionKey(call.key.org, "no-such-session"))
    gone = await office.http.get("/v1/agent/time-left", headers=nobody)
    assert is_problem(gone, 404, "not_found")
    await finish(call)
    closed = await office.http.get("/v1/agent/time-left", headers=token)
    assert closed.json() == {"remaining": 0}
