"""What agents ask during a call, with their callback token."""

from datetime import UTC, datetime

from domain.access.principal import Principal
from domain.agents.config import AgentConfig
from domain.agents.masking import MASK
from domain.ids import SessionKey
from tests.api.agents.test_agents import create, office
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
    call = await office.start()
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
    call = await office.start()

    answer = await office.http.get(
        f"/v1/agent/managed-agents/{foreign.agent.agent_id}", headers=office.as_agent(call.key)
    )

    assert is_problem(answer, 404, "not_found")
    assert "secret" not in answer.text
    await finish(call)


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
