"""What the door says of tools, silence and variables in a configuration."""

from typing import Any

import pytest

from domain.agents.masking import MASK
from tests.api.agents.test_agents import create, naming, office, put
from tests.api.door import Door, is_problem

__all__ = ["office"]

JSON = dict[str, Any]
TOOL: JSON = {
    "name": "order_status",
    "description": "Tells the status of an order.",
    "url": "https://shop.test/orders",
}
DESK: JSON = {"name": "desk", "to": "+43123456"}


def http_tool(**fields: Any) -> JSON:
    return {"http_tools": [TOOL, TOOL | {"name": "second"} | fields]}


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (http_tool(parameters={"type": "string"}), "http_tools.1.parameters"),
        (
            http_tool(parameters={"type": "object", "properties": {"a": {"type": "text"}}}),
            "http_tools.1.parameters",
        ),
        (
            http_tool(parameters={"type": "object", "$ref": "https://evil.test/schema"}),
            "http_tools.1.parameters",
        ),
        (http_tool(parameters={"type": "object", "$ref": "#"}), "http_tools.1.parameters"),
        (
            http_tool(parameters={"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}),
            "http_tools.1.parameters",
        ),
        (http_tool(url="ftp://shop.test"), "http_tools.1.url"),
        (http_tool(url="http://[::1/x"), "http_tools.1.url"),
        (http_tool(url="https://shop.test/a\x00b"), "http_tools.1.url"),
        (http_tool(url="https://{{host}}/x"), "http_tools.1.url"),
        (http_tool(url="https://user:pass@shop.test"), "http_tools.1.url"),
        (http_tool(name="order status"), "http_tools.1.name"),
        (http_tool(headers={"bad header": "x"}), "http_tools.1.headers.bad header.[key]"),
        (http_tool(headers={"x": "a\r\nb"}), "http_tools.1.headers.x"),
        (http_tool(timeout=600), "http_tools.1.timeout"),
        (http_tool(max_response_bytes=0), "http_tools.1.max_response_bytes"),
        ({"mcp_servers": [{"url": "shop"}]}, "mcp_servers.0.url"),
        ({"mcp_servers": [{"url": "https://shop.test:99999"}]}, "mcp_servers.0.url"),
        ({"transfer": {"destinations": []}}, "transfer.destinations"),
        ({"transfer": {"destinations": [DESK, DESK]}}, "transfer.destinations"),
        (
            {"transfer": {"destinations": [{"name": "x", "to": "home"}]}},
            "transfer.destinations.0.to",
        ),
        ({"silence": {"nudge_after": 0}}, "silence.nudge_after"),
        ({"max_duration_warning": {"seconds_before": 0}}, "max_duration_warning.seconds_before"),
    ],
)
async def test_a_definition_that_cannot_work_is_refused_by_the_name_of_its_field(
    keyless: Door, office: Door, config: JSON, field: str
) -> None:
    body = {"userIdentity": "c", "agentConfig": config}
    answer = await office.http.post("/session", json=body)

    assert is_problem(answer, 422, "invalid_input")
    [fault] = answer.json()["errors"]
    assert fault["field"] == f"agentConfig.{field}"
    assert fault["reason"]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (http_tool(name="order_status"), "http_tools.1.name"),
        (http_tool(name="end_call"), "http_tools.1.name"),
        ({"time_zone": "Mars/Crater"}, "time_zone"),
    ],
)
async def test_what_no_field_alone_can_tell_is_refused_too(
    office: Door, config: JSON, field: str
) -> None:
    answer = await office.http.post("/agents", json={"config": {"agent_name": "x", **config}})

    assert is_problem(answer, 422, "invalid_input")
    [fault] = answer.json()["errors"]
    assert fault["field"] == f"config.{field}"
    assert fault["cure"]


async def test_the_secrets_of_tools_are_masked_and_can_be_sent_back(office: Door) -> None:
    headers = {"Authorization": "Bearer canary"}
    made = await create(
        office,
        http_tools=[TOOL | {"headers": headers}],
        mcp_servers=[{"url": "https://mcp.test/mcp", "headers": headers}],
    )
    shown = made["config"]
    assert shown["http_tools"][0]["headers"] == {"Authorization": MASK}
    assert shown["mcp_servers"][0]["headers"] == {"Authorization": MASK}

    again = await put(office, made, shown | {"prompt": "new"})

    assert again.status_code == 200, again.text
    assert "canary" not in again.text
    call = await office.start_with(agentConfig=naming(made["agentId"]))
    stored = await office.http.get(
        f"/v1/agent/managed-agents/{made['agentId']}", headers=office.as_agent(call.key)
    )
    assert stored.json()["http_tools"][0]["headers"] == headers
    assert stored.json()["mcp_servers"][0]["headers"] == headers
    await call.end()
    await call.closed()


async def test_what_the_agent_cannot_do_or_say_is_warned_of_at_the_start(office: Door) -> None:
    made = await office.http.post(
        "/agents",
        json={
            "config": {
                "agent_name": "x",
                "prompt": "You help {{name}} of {{company}}.",
                "conversation_start": {"who": "ai", "greeting": "Hello {{name}}, {{title}}!"},
                "dynamic_variable_defaults": {"company": "Acme"},
                "tools": ["transfer_call"],
                "silence": {"nudge_text": "Still there, {{nick}}?"},
                "http_tools": [TOOL | {"headers": {"x-token": "{{token}}"}}],
            }
        },
    )

    assert made.status_code == 201, made.text
    warnings = {one["reason"]: one["field"] for one in made.json()["warnings"]}
    missing = {
        reason.split("'")[1]: field
        for reason, field in warnings.items()
        if reason.startswith("the variable")
    }
    assert missing == {
        "name": "prompt",
        "title": "conversation_start.greeting",
        "nick": "silence.nudge_text",
        "token": "http_tools.0.headers.x-token",
    }
    assert "transfer" in warnings.values()


async def test_the_registry_has_the_schema_of_what_configures_a_tool(office: Door) -> None:
    tools = {one["id"]: one for one in (await office.http.get("/config/tools")).json()["tools"]}

    schema = tools["transfer_call"]["configSchema"]
    assert list(schema["properties"]) == ["transfer"]
    assert "TransferDestination" in schema["$defs"]
    assert tools["end_call"].get("configSchema") is None
