"""HTTP tools: what goes over the wire, and what the model hears of it."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.agent.tools.talk import settings, talking
from tests.fakes.scripted_chat import Call, ScriptedChat
from tests.fakes.web_service import WebService

ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Z0-9./]+$"},
        "urgent": {"type": "boolean"},
        "items": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["id"],
}


def tool(service: WebService, **fields: Any) -> dict[str, Any]:
    """A configuration with one tool."""
    definition = {
        "name": "order_status",
        "description": "Tells the status of an order.",
        "parameters": ORDER,
        "url": f"{service.url}/orders",
        **fields,
    }
    return {"http_tools": [definition], "dynamic_variables": {"token": "t-1", "lang": "en"}}


async def ask(config: dict[str, Any], arguments: dict[str, Any], **how: Any) -> ScriptedChat:
    """Let the model call the tool once; the chat model's side of it."""
    async with (
        ScriptedChat([Call("order_status", arguments)]) as chat,
        talking(chat, config, **how) as talk,
    ):
        await talk.say("Where is my order?")
        assert talk.said()[-1] == "Fine."
    return chat


async def test_the_definition_reaches_the_model_and_its_arguments_the_service() -> None:
    async with WebService() as service:
        chat = await ask(tool(service), {"id": "A7", "urgent": True})

    offered = chat.offered(0)["order_status"]
    assert offered["description"] == "Tells the status of an order."
    assert offered["parameters"] == ORDER
    [asked] = service.asked
    assert (asked.method, asked.path, asked.query) == ("POST", "/orders", {})
    assert json.loads(asked.text) == {"id": "A7", "urgent": True}
    assert chat.answers_of_tools() == ["It is on its way."]


async def test_url_query_headers_and_body_are_filled_from_arguments_and_variables() -> None:
    async with WebService() as service:
        await ask(
            tool(
                service,
                method="PUT",
                url=f"{service.url}/orders/{{{{id}}}}",
                query={"lang": "{{lang}}", "of": "call {{id}}"},
                headers={"Authorization": "Bearer {{token}}"},
                body={"order": {"list": "{{items}}", "note": "no. {{id}}", "rush": "{{urgent}}"}},
            ),
            {"id": "A/7", "items": [1, 2]},
        )

    [asked] = service.asked
    assert (asked.method, asked.path) == ("PUT", "/orders/A%2F7")
    assert asked.query == {"lang": "en", "of": "call A/7"}
    assert asked.headers["authorization"] == "Bearer t-1"
    # What was not given is left out.
    assert json.loads(asked.text) == {"order": {"list": [1, 2], "note": "no. A/7"}}


async def test_a_variable_is_not_replaced_by_an_argument_that_the_tool_does_not_declare() -> None:
    async with WebService() as service:
        config = tool(
            service, url=f"{service.url}/of/{{{{token}}}}/in/{{{{id}}}}", query={"of": "{{lang}}"}
        )
        config["dynamic_variables"]["id"] = "B8"
        await ask(config, {"id": "A7", "token": "t-2", "lang": "de"})

    [asked] = service.asked
    assert (asked.path, asked.query) == ("/of/t-1/in/A7", {"of": "en"})


async def test_a_header_may_hold_any_letters() -> None:
    async with WebService() as service:
        config = tool(service, headers={"X-Caller": "{{name}}"})
        config["dynamic_variables"]["name"] = "Jörg Müller"
        await ask(config, {"id": "A7"})

    [asked] = service.asked
    assert asked.headers["x-caller"] == "Jörg Müller"


async def test_without_a_body_a_get_sends_the_other_arguments_in_its_query() -> None:
    async with WebService() as service:
        url = f"{service.url}/orders/{{{{id}}}}"
        await ask(tool(service, method="GET", url=url), {"id": "A7", "urgent": False})

    [asked] = service.asked
    assert (asked.method, asked.path, asked.query) == ("GET", "/orders/A7", {"urgent": "false"})
    assert asked.text == ""


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({}, "'id' is a required property"),
        ({"id": "small"}, "id: 'small' does not match"),
        ({"id": ".."}, "must not be . or .."),
    ],
)
async def test_arguments_that_are_not_valid_are_told_to_the_model_and_nobody_else(
    arguments: dict[str, Any], hint: str
) -> None:
    async with WebService() as service:
        url = f"{service.url}/orders/{{{{id}}}}"
        chat = await ask(tool(service, url=url), arguments)

    assert hint in chat.answers_of_tools()[0]
    assert service.asked == []


async def test_an_error_of_the_service_is_an_answer_that_the_model_can_use() -> None:
    async with WebService(answer='{"error": "no such order"}', status=404) as service:
        chat = await ask(tool(service), {"id": "A7"})

    assert chat.answers_of_tools() == [
        'order_status answered with status 404: {"error": "no such order"}'
    ]


async def test_a_redirect_is_not_followed() -> None:
    async with WebService() as other, WebService(status=302) as service:
        service.headers["Location"] = f"{other.url}/elsewhere"
        chat = await ask(tool(service), {"id": "A7"})

    assert "status 302" in chat.answers_of_tools()[0]
    assert other.asked == []


async def test_a_service_that_does_not_answer_costs_its_time_limit() -> None:
    async with WebService(silent=True) as service:
        chat = await ask(tool(service, timeout=0.3), {"id": "A7"})

    assert chat.answers_of_tools() == ["order_status did not answer within 0.3 seconds"]


async def test_a_service_that_is_away_is_said_to_be() -> None:
    async with WebService() as service:
        config = tool(service)
    chat = await ask(config, {"id": "A7"})

    assert chat.answers_of_tools() == ["order_status could not be reached"]


async def test_a_long_answer_is_cut() -> None:
    async with WebService(answer="x" * 5000) as service:
        chat = await ask(tool(service, max_response_bytes=100), {"id": "A7"})

    assert chat.answers_of_tools() == ["x" * 100 + " … [cut after 100 bytes]"]


@pytest.mark.parametrize("charset", ["rot13", "base64", "idna", "undefined", "no-such-thing"])
async def test_an_answer_in_an_encoding_that_is_none_of_text_is_read_as_utf_8(charset: str) -> None:
    headers = {"Content-Type": f"text/plain; charset={charset}"}
    async with WebService(answer="Größe 42", headers=headers) as service:
        chat = await ask(tool(service), {"id": "A7"})

    assert chat.answers_of_tools() == ["Größe 42"]


async def test_private_addresses_are_refused_unless_the_agent_worker_allows_them() -> None:
    async with WebService() as service:
        config = tool(service, url=f"https://127.0.0.1:{service.port}/orders")
        with capture_logs() as logs:
            chat = await ask(config, {"id": "A7"}, with_settings=settings(allow_private=False))

    assert "not public" in chat.answers_of_tools()[0]
    [cure] = [log["cure"] for log in logs if "cure" in log]
    assert "EVERLINE_ALLOW_PRIVATE_TOOL_URLS=true" in cure
    assert service.asked == []
