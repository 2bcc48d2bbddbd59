"""Tools of MCP servers, with a real server of the protocol's own package."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.agent.tools.talk import settings, talking
from tests.fakes.mcp_shop import Shop, mcp_shop
from tests.fakes.scripted_chat import Call, ScriptedChat
from tests.fakes.web_service import WebService


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may take its own time limit to start, however slow this machine is."""
    monkeypatch.setattr("agent.tools.mcp_toolset.MOST_START_SECONDS", 30.0)


def servers(shop: Shop, **fields: Any) -> dict[str, Any]:
    """A configuration with this server."""
    return {
        "dynamic_variables": {"token": "t-1"},
        "mcp_servers": [
            {
                "name": "shop",
                "url": shop.url,
                "headers": {"Authorization": "Bearer {{token}}"},
                "timeout": 20,
                **fields,
            }
        ],
    }


async def test_its_tools_are_offered_called_and_answered_with_the_headers() -> None:
    async with (
        mcp_shop() as shop,
        ScriptedChat([Call("order_status", {"number": "A7"})]) as chat,
        talking(chat, servers(shop)) as talk,
    ):
        await talk.say("Where is my order?")
        said = talk.said()

    offered = chat.offered(0)
    assert set(offered) == {"order_status", "delete_everything", "current_time"}
    assert offered["order_status"]["description"] == "Status of an order."
    assert "number" in offered["order_status"]["parameters"]["properties"]
    assert shop.orders == ["A7"]
    assert shop.authorizations == {"Bearer t-1"}
    assert chat.answers_of_tools() == ["Order A7 is on its way."]
    assert said[-1] == "Fine."


async def test_only_allowed_tools_are_offered_and_no_name_is_taken_twice() -> None:
    async with (
        mcp_shop() as shop,
        ScriptedChat() as chat,
        talking(
            chat,
            {**servers(shop, allowed_tools=["current_time"]), "tools": ["current_time"]},
        ) as talk,
    ):
        await talk.say("Hello.")

    assert set(chat.offered()) == {"current_time", "shop_current_time"}


async def test_an_error_of_a_tool_is_an_answer_that_the_model_can_use() -> None:
    async with (
        mcp_shop() as shop,
        ScriptedChat([Call("order_status", {"number": "broken"})]) as chat,
        talking(chat, servers(shop)) as talk,
    ):
        await talk.say("Where is my order?")

    assert "no such order" in chat.answers_of_tools()[0]


async def test_a_call_that_takes_too_long_ends_at_the_servers_time_limit() -> None:
    async with (
        mcp_shop() as shop,
        ScriptedChat([Call("order_status", {"number": "slow"})]) as chat,
        talking(chat, servers(shop, timeout=3)) as talk,
    ):
        async with asyncio.timeout(30):
            await talk.say("Where is my order?")
        assert talk.said()[-1] == "Fine."

    assert len(chat.answers_of_tools()) == 1


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "away"])
async def test_a_server_that_is_away_holds_up_no_call(silent: bool) -> None:
    with capture_logs() as logs:
        async with WebService(silent=silent) as service, ScriptedChat() as chat:
            if not silent:
                await service.__aexit__()
            shop = Shop(url=f"{service.url}/mcp")
            async with asyncio.timeout(30), talking(chat, servers(shop, timeout=0.5)) as talk:
                await talk.say("Hello.")
                assert talk.said() == ["Hello.", "Fine."]

    assert [log["server"] for log in logs if log["event"] == "mcp_server_away"] == ["shop"]


async def test_private_addresses_are_refused_unless_the_agent_worker_allows_them() -> None:
    with capture_logs() as logs:
        async with (
            mcp_shop() as shop,
            ScriptedChat() as chat,
            talking(chat, servers(shop), with_settings=settings(allow_private=False)) as talk,
        ):
            await talk.say("Hello.")

    assert [log["error"] for log in logs if log["event"] == "mcp_server_away"] == [
        "ForbiddenAddress"
    ]
    assert shop.authorizations == set()
