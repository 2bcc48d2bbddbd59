"""Whole calls through a real room: hand-off, silence, and the end of the time.

The caller types, so that nothing depends on how speech is recognised; the agent speaks.
"""

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from domain.agents.config import AgentConfig
from stack.demo.caller import Caller
from tests.agent.live import AgentWorker, LiveSession, live_session, start_agent
from tests.fakes.callback_api import CallbackApi, ProxyAnswer
from tests.fakes.scripted_chat import Call, Reply, ScriptedChat
from tests.fakes.web_service import WebService
from tests.servers import LiveKitServer
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)

JSON = dict[str, Any]


@pytest.fixture(scope="module")
async def models() -> AsyncGenerator[ScriptedChat]:
    async with ScriptedChat() as chat:
        yield chat


@pytest.fixture(scope="module")
async def worker(
    livekit_server: LiveKitServer,
    models: ScriptedChat,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[AgentWorker]:
    folder = tmp_path_factory.mktemp("agent")
    async with (
        CallbackApi() as home,
        start_agent(
            livekit_server,
            models.url.removesuffix("/v1"),
            home.url,
            folder,
            "tools-tester",
            {"EVERLINE_ALLOW_PRIVATE_TOOL_URLS": "true"},
        ) as agent,
    ):
        yield agent


@pytest.fixture
async def chat(models: ScriptedChat) -> ScriptedChat:
    """The models as if they were new."""
    models.decide = None
    models.requests.clear()
    models.spoken.clear()
    return models


@pytest.fixture
async def session(
    livekit_server: LiveKitServer, worker: AgentWorker, chat: ScriptedChat
) -> AsyncGenerator[LiveSession]:
    async with live_session(livekit_server, worker, f"s{uuid.uuid4().hex[:8]}") as live:
        yield live


@asynccontextmanager
async def calling(session: LiveSession, config: JSON) -> AsyncGenerator[Caller]:
    """A call with an agent of this configuration."""
    session.config = AgentConfig.model_validate(config)
    await session.dispatch()
    caller = await session.call()
    try:
        await session.callbacks.wait_for(lambda: bool(session.callbacks.of("ready")))
        yield caller
    finally:
        await caller.disconnect()


async def type_words(caller: Caller, text: str) -> None:
    await caller.room.local_participant.send_text(text, topic="lk.chat")


def texts(turns: list[JSON]) -> list[tuple[str, str]]:
    return [(turn["role"], turn["text"]) for turn in turns]


MANAGED: JSON = {
    "enabled": True,
    "agents": [
        {"id": "ag-bills", "name": "Bills", "usage_description": "questions about money"},
        {"id": "ag-gone", "name": "Gone", "usage_description": "nothing"},
    ],
}


async def test_another_agent_takes_over_with_all_that_was_said(
    session: LiveSession, chat: ScriptedChat
) -> None:
    def decide(request: JSON) -> Reply:
        instructions = str(request["messages"][0]["content"])
        last = request["messages"][-1]
        if "You know bills" in instructions:
            return "Bills is here."
        if last["role"] == "tool":
            return "Then I help you myself."
        if "gone" in str(last["content"]):
            return Call("hand_off_to_gone")
        if "money" in str(last["content"]):
            return Call("hand_off_to_bills")
        return "Hello there."

    chat.decide = decide
    callbacks = session.callbacks
    callbacks.managed_agents["ag-bills"] = {
        "agentId": "ag-bills",
        "prompt": "You know bills, {{name}}. {{tone}}",
        "dynamic_variable_defaults": {"tone": "Be brief.", "name": "nobody"},
        "tools": ["current_time"],
    }
    config = {
        "prompt": "You are the front desk.",
        # Before the greeting it may not listen yet.
        "conversation_start": {"who": "ai", "greeting": "Welcome."},
        "dynamic_variables": {"name": "Anna"},
        "managed_agents": MANAGED,
    }
    async with calling(session, config) as caller:
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
        await type_words(caller, "Good morning.")
        await callbacks.wait_for(lambda: len(callbacks.turns) == 3)
        # One that cannot be loaded leaves the present agent talking.
        await type_words(caller, " \n")
        await type_words(caller, "I want the gone one.")
        await callbacks.wait_for(lambda: len(callbacks.turns) == 5)
        await type_words(caller, "It is about money.")
        await callbacks.wait_for(lambda: len(callbacks.turns) == 7)
        await type_words(caller, "How much?")
        await callbacks.wait_for(lambda: len(callbacks.turns) == 9)
        await session.ask_to_finish("end_requested")
        await callbacks.wait_for(lambda: bool(callbacks.reports))

    said = [
        ("assistant", "Welcome."),
        ("user", "Good morning."),
        ("assistant", "Hello there."),
        ("user", "I want the gone one."),
        ("assistant", "Then I help you myself."),
        ("user", "It is about money."),
        ("assistant", "Bills is here."),
        ("user", "How much?"),
        ("assistant", "Bills is here."),
    ]
    assert texts(list(callbacks.turns.values())) == said
    assert [turn["seq"] for turn in callbacks.turns.values()] == list(range(9))
    [report] = callbacks.reports
    assert texts(report["turns"]) == said
    offered = chat.offered(0)
    assert "questions about money" in offered["hand_off_to_bills"]["description"]
    # The agent that took over: its own instructions, variables and tools, and the history.
    last = chat.requests[-1]["messages"]
    assert "You know bills, Anna. Be brief." in chat.instructions()
    assert "front desk" not in str(last)
    assert "Good morning." in str(last)
    assert set(chat.offered()) == {"current_time"}


async def test_a_silent_caller_is_asked_and_then_the_call_ends(
    session: LiveSession, chat: ScriptedChat
) -> None:
    config = {
        "silence": {
            "nudge_after": 1,
            "nudges": 2,
            "nudge_text": "Are you there, {{name}}?",
            "end_after": 1,
            "goodbye_text": "Goodbye then.",
        },
        "dynamic_variables": {"name": "Anna"},
    }
    callbacks = session.callbacks
    async with calling(session, config) as caller:
        await callbacks.wait_for(lambda: bool(callbacks.reports), within=60)
        heard = caller.heard.speech_seconds()

    [report] = callbacks.reports
    assert report["end_reason"] == "silence"
    assert texts(report["turns"]) == [
        ("assistant", "Are you there, Anna?"),
        ("assistant", "Are you there, Anna?"),
        ("assistant", "Goodbye then."),
    ]
    assert heard > 1.0
    # Given words need no model.
    assert chat.requests == []


async def test_a_caller_who_answers_is_asked_anew(session: LiveSession, chat: ScriptedChat) -> None:
    config = {"silence": {"nudge_after": 1, "nudges": 1, "nudge_text": "Hello?", "end_after": 60}}
    callbacks = session.callbacks
    async with calling(session, config) as caller:
        await callbacks.wait_for(lambda: _nudges(callbacks) == 1)
        await type_words(caller, "I am here.")
        # Had the answer not counted, there would be no second one.
        await callbacks.wait_for(lambda: _nudges(callbacks) == 2)
        await session.ask_to_finish("end_requested")
        await callbacks.wait_for(lambda: bool(callbacks.reports))

    [report] = callbacks.reports
    assert [turn["role"] for turn in report["turns"]] == [
        "assistant",
        "user",
        "assistant",
        "assistant",
    ]


def _nudges(callbacks: CallbackApi) -> int:
    return [turn["text"] for turn in callbacks.turns.values()].count("Hello?")


async def test_the_caller_is_warned_before_the_time_is_over_and_told_goodbye(
    session: LiveSession,
) -> None:
    callbacks = session.callbacks
    callbacks.ready_answer = {"accepted": True, "remaining": 3.0}
    # Meanwhile the call was extended once: what the API says counts.
    callbacks.time_left = 5.0
    config = {
        "max_duration_warning": {
            "seconds_before": 2,
            "text": "One minute is left.",
            "goodbye_text": "Time is up.",
        }
    }
    async with calling(session, config):
        await callbacks.wait_for(lambda: bool(callbacks.of("time_left")))
        assert callbacks.turns == {}
        callbacks.time_left = 2.0
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
        await session.ask_to_finish("max_duration")
        await callbacks.wait_for(lambda: bool(callbacks.reports))

    [report] = callbacks.reports
    assert report["end_reason"] == "max_duration"
    assert texts(report["turns"]) == [
        ("assistant", "One minute is left."),
        ("assistant", "Time is up."),
    ]
    assert len(callbacks.of("time_left")) >= 2


async def test_a_proxy_that_answers_for_the_api_does_not_hide_that_the_call_was_extended(
    session: LiveSession,
) -> None:
    callbacks = session.callbacks
    callbacks.ready_answer = {"accepted": True, "remaining": 21.0}
    callbacks.time_left = 600.0
    warning = {"seconds_before": 20, "text": "The time is nearly over."}
    async with calling(session, {"max_duration_warning": warning}):
        callbacks.proxy = ProxyAnswer(404)
        await callbacks.wait_for(lambda: len(callbacks.proxied) >= 2)
        callbacks.proxy = None
        await callbacks.wait_for(lambda: bool(callbacks.of("time_left")))
        await session.ask_to_finish("end_requested")
        await callbacks.wait_for(lambda: bool(callbacks.reports))

    assert callbacks.turns == {}


async def test_an_agent_takes_over_although_a_proxy_answered_first(
    session: LiveSession, chat: ScriptedChat
) -> None:
    def decide(request: JSON) -> Reply:
        if "You know bills" in str(request["messages"][0]["content"]):
            return "Bills is here."
        if request["messages"][-1]["role"] == "tool":
            return "Then I help you myself."
        return Call("hand_off_to_bills")

    def asked(request: JSON) -> Reply:
        # From here on, the next callback is the one for the other agent's configuration.
        callbacks.proxy = ProxyAnswer(404)
        chat.decide = decide
        return decide(request)

    chat.decide = asked
    callbacks = session.callbacks
    callbacks.managed_agents["ag-bills"] = {"agentId": "ag-bills", "prompt": "You know bills."}
    config = {
        "conversation_start": {"who": "ai", "greeting": "Welcome."},
        "managed_agents": MANAGED,
    }
    async with calling(session, config) as caller:
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
        await type_words(caller, "It is about money.")
        await callbacks.wait_for(lambda: len(callbacks.proxied) >= 3)
        callbacks.proxy = None
        await callbacks.wait_for(lambda: len(callbacks.turns) == 3)

    assert texts(list(callbacks.turns.values()))[-1] == ("assistant", "Bills is here.")


async def test_a_tool_is_called_in_a_call(session: LiveSession, chat: ScriptedChat) -> None:
    def decide(request: JSON) -> Reply:
        last = request["messages"][-1]
        if last["role"] == "tool":
            return str(last["content"])
        return Call("order_status", {"number": "canary-argument"})

    chat.decide = decide
    callbacks = session.callbacks
    async with WebService(answer="It arrives tomorrow.") as service:
        tool = {
            "name": "order_status",
            "description": "Tells where an order is.",
            "parameters": {"type": "object", "properties": {"number": {"type": "string"}}},
            "method": "GET",
            "url": f"{service.url}/orders",
            "headers": {"Authorization": "Bearer canary-{{token}}"},
        }
        config = {
            "conversation_start": {"who": "ai", "greeting": "Welcome."},
            "dynamic_variables": {"token": "secret"},
            "http_tools": [tool],
        }
        async with calling(session, config) as caller:
            await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
            await type_words(caller, "Where is my order?")
            await callbacks.wait_for(lambda: len(callbacks.turns) == 3)

    assert texts(list(callbacks.turns.values()))[-1] == ("assistant", "It arrives tomorrow.")
    assert chat.spoken[-1] == "It arrives tomorrow."
    assert service.asked[0].headers["authorization"] == "Bearer canary-secret"
    assert service.asked[0].query == {"number": "canary-argument"}


async def test_nothing_that_a_tool_or_a_secret_says_is_in_the_log(worker: AgentWorker) -> None:
    for event in ("handed_off", "caller_silent", "tool_request"):
        # Jobs' records reach the log through their agent server.
        await eventually(lambda event=event: bool(worker.log(event)), 30, event)
    log = worker.process.log.read_text()

    for secret in ("Are you there", "about money", "You know bills", "evcb_", "canary"):
        assert secret not in log


async def test_the_report_does_not_wait_for_sound_that_a_room_which_is_gone_cannot_stop(
    session: LiveSession,
) -> None:
    config = {
        "conversation_start": {"who": "ai", "greeting": "Welcome."},
        "background_audio": {"ambient": "office"},
    }
    callbacks = session.callbacks
    async with calling(session, config):
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
        await session.delete_room()
        await callbacks.wait_for(lambda: bool(callbacks.reports))

    [report] = callbacks.reports
    assert report["end_reason"] == "room_deleted"
    assert texts(report["turns"]) == [("assistant", "Welcome.")]
