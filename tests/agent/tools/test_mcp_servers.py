"""Tools of MCP servers, with a real server of the protocol's own package."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.agent.tools.talk import settings, talking
from tests.fakes.mcp_shop import Shop, mcp_shop
from tests.fakes.scripted_chat import Call, Reply, ScriptedChat
from tests.fakes.web_service import WebService
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may take its own time limit to start, however slow this machine is."""
    monkeypatch.setattr("agent.tools.mcp_servers.MOST_START_SECONDS", 30.0)


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


def orders_of(*numbers: str) -> list[Reply]:
    """A script of a model that asks for one order each time that it is spoken to."""
    return [
        reply for number in numbers for reply in (Call("order_status", {"number": number}), "Fine.")
    ]


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

    assert chat.answers_of_tools() == ["order_status did not answer within 3 seconds"]


async def test_a_server_that_was_restarted_is_connected_to_again() -> None:
    orders = orders_of("A7", "B8")
    async with (
        mcp_shop() as shop,
        ScriptedChat(orders) as chat,
        talking(chat, servers(shop)) as talk,
    ):
        await talk.say("Where is my order?")
        await shop.stop()
        await shop.start()
        with capture_logs() as logs:
            await talk.say("And the other one?")

    assert chat.answers_of_tools() == ["Order A7 is on its way.", "Order B8 is on its way."]
    assert shop.orders == ["A7", "B8"]
    [line] = [log for log in logs if log["event"] == "tool_request"]
    assert (line["server"], line["tool"], line["outcome"]) == ("shop", "order_status", "answered")


async def test_a_server_that_is_away_for_a_while_is_said_to_be_and_asked_again() -> None:
    orders = orders_of("A7", "B8", "C9")
    async with (
        mcp_shop() as shop,
        ScriptedChat(orders) as chat,
        talking(chat, servers(shop)) as talk,
    ):
        await shop.stop()
        with capture_logs() as logs:
            await talk.say("Where is my order?")
            await talk.say("And the other one?")
        await shop.start()
        await talk.say("And the last one?")

    away = "shop could not be reached"
    assert chat.answers_of_tools() == [away, away, "Order C9 is on its way."]
    lines = [log for log in logs if log["event"] == "tool_request"]
    assert [line["outcome"] for line in lines] == ["unreachable", "unreachable"]


async def test_each_of_two_calls_at_once_is_told_that_the_server_is_away() -> None:
    both = (Call("order_status", {"number": "A7"}), Call("current_time"))
    async with (
        mcp_shop() as shop,
        ScriptedChat([both]) as chat,
        talking(chat, servers(shop)) as talk,
    ):
        shop.forgets = asyncio.Barrier(len(both))
        with capture_logs() as logs:
            await talk.say("Where is my order, and how late is it?")

    assert chat.answers_of_tools() == ["shop could not be reached"] * 2
    lines = [log for log in logs if log["event"] == "tool_request"]
    assert [line["outcome"] for line in lines] == ["unreachable"] * 2
    assert [log["event"] for log in logs].count("mcp_server_away") == 1


async def test_a_call_in_which_its_server_died_is_not_made_again() -> None:
    orders = orders_of("slow", "B8")
    async with (
        mcp_shop() as shop,
        ScriptedChat(orders) as chat,
        talking(chat, servers(shop)) as talk,
    ):
        asking = asyncio.create_task(talk.say("Where is my order?"))
        await eventually(lambda: shop.orders == ["slow"])
        await shop.stop()
        await asking
        await shop.start()
        await talk.say("And the other one?")

    away = "shop could not be reached"
    assert chat.answers_of_tools() == [away, "Order B8 is on its way."]
    assert shop.orders == ["slow", "B8"]


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

    [away] = [log for log in logs if log["event"] == "mcp_server_away"]
    assert away["error"] == "ForbiddenAddress"
    assert "EVERLINE_ALLOW_PRIVATE_TOOL_URLS=true" in away["cure"]
    assert shop.authorizations == set()
