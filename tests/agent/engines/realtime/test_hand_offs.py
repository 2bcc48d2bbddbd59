"""Hand-offs between engines: from a pipeline to a realtime model and back, and after a crash."""

import uuid
import wave
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from domain.agents.config import AgentConfig
from stack.demo.caller import MICROPHONE_RATE
from tests.agent.engines.realtime.seen import seen
from tests.agent.engines.realtime.talk import KEY, MODELS
from tests.agent.live import AgentWorker, LiveSession, live_session, start_agent
from tests.agent.samples import turn
from tests.fakes.callback_api import CallbackApi
from tests.fakes.realtime import Exchange, OpenAiRealtime
from tests.fakes.realtime.sound import tone
from tests.fakes.scripted_chat import Call, Reply, ScriptedChat
from tests.servers import LiveKitServer

pytestmark = pytest.mark.timeout(300)

JSON = dict[str, Any]

FRONT: JSON = {
    "prompt": "You are the front desk.",
    "conversation_start": {"who": "ai", "greeting": "Welcome."},
    "managed_agents": {
        "enabled": True,
        "agents": [{"id": "ag-table", "name": "Table", "usage_description": "bookings"}],
    },
}
# Saved agents, as the API gives them to agent workers.
TABLE: JSON = {
    "engine": {"kind": "realtime", "llm": MODELS["openai"]},
    "prompt": "You take bookings.",
    "managed_agents": [{"id": "ag-desk", "name": "Desk", "usage_description": "all else"}],
}
DESK: JSON = {"prompt": "You are the back desk."}
BOOKING = Exchange(heard="A table for four.", answer="For which day?")
BACK = Exchange(heard="I lost my umbrella.", tool="hand_off_to_desk")


@pytest.fixture(scope="module")
async def chat() -> AsyncGenerator[ScriptedChat]:
    """The model and the voice of the pipelines; it cannot hear."""
    async with ScriptedChat() as running:
        yield running


@pytest.fixture(scope="module")
async def realtime() -> AsyncGenerator[OpenAiRealtime]:
    async with OpenAiRealtime() as running:
        yield running


@pytest.fixture(scope="module")
async def worker(
    livekit_server: LiveKitServer,
    chat: ScriptedChat,
    realtime: OpenAiRealtime,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[AgentWorker]:
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_REALTIME_BASE_URL": realtime.url}
    models = chat.url.removesuffix("/v1")
    folder = tmp_path_factory.mktemp("agent")
    async with (
        CallbackApi() as home,
        start_agent(livekit_server, models, home.url, folder, "desks", environment) as agent,
    ):
        yield agent


@pytest.fixture
async def session(
    livekit_server: LiveKitServer,
    worker: AgentWorker,
    chat: ScriptedChat,
    realtime: OpenAiRealtime,
) -> AsyncGenerator[LiveSession]:
    chat.decide = None
    chat.requests.clear()
    chat.spoken.clear()
    realtime.reset()
    async with live_session(livekit_server, worker, f"h{uuid.uuid4().hex[:8]}") as live:
        live.config = AgentConfig.model_validate(FRONT)
        live.callbacks.managed_agents |= {
            "ag-table": {"agentId": "ag-table", **TABLE},
            "ag-desk": {"agentId": "ag-desk", **DESK},
        }
        yield live


@pytest.fixture(scope="module")
def utterance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound that the realtime model takes for a sentence."""
    path = tmp_path_factory.mktemp("speech") / "utterance.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MICROPHONE_RATE)
        file.writeframes(tone(1.0, MICROPHONE_RATE))
    return path


def said(turns: list[JSON]) -> list[tuple[str | None, str, str]]:
    return [(each["agent_id"], each["role"], each["text"]) for each in turns]


async def test_from_a_pipeline_to_a_realtime_model_and_back(
    session: LiveSession, chat: ScriptedChat, realtime: OpenAiRealtime, utterance: Path
) -> None:
    def decide(request: JSON) -> Reply:
        if "back desk" in str(request["messages"][0]):
            return "We have your umbrella."
        return Call("hand_off_to_table")

    chat.decide = decide
    # It speaks as soon as it takes over, and then answers what it hears.
    taking_over = "Bookings, hello."
    realtime.script = [Exchange(answer=taking_over), BOOKING, BACK]
    callbacks = session.callbacks
    await session.dispatch()
    caller = await session.call()
    try:
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
        await caller.room.local_participant.send_text("A table, please.", topic="lk.chat")
        await callbacks.wait_for(lambda: len(callbacks.turns) == 3)
        await caller.play(utterance)
        await callbacks.wait_for(lambda: len(callbacks.turns) == 5)
        await caller.play(utterance)
        await callbacks.wait_for(lambda: len(callbacks.turns) == 7)
        await session.ask_to_finish("end_requested")
        await callbacks.wait_for(lambda: bool(callbacks.reports))
    finally:
        await caller.disconnect()

    expected = [
        (None, "assistant", "Welcome."),
        (None, "user", "A table, please."),
        ("ag-table", "assistant", taking_over),
        ("ag-table", "user", BOOKING.heard),
        ("ag-table", "assistant", BOOKING.answer),
        ("ag-table", "user", BACK.heard),
        ("ag-desk", "assistant", "We have your umbrella."),
    ]
    assert said(list(callbacks.turns.values())) == expected
    [report] = callbacks.reports
    assert said(report["turns"]) == expected
    assert [(one["from_agent"], one["to_agent"]) for one in report["hand_offs"]] == [
        ("default_agent", "ag-table"),
        ("ag-table", "ag-desk"),
    ]
    [connection] = realtime.connections
    told = seen("openai", connection)
    assert told.prompt == "You take bookings."
    assert told.history[:2] == [("assistant", "Welcome."), ("user", "A table, please.")]
    # The voice of the pipeline is silent while the realtime model speaks.
    assert chat.spoken == ["Welcome.", "We have your umbrella."]
    assert BOOKING.answer in str(chat.requests[-1]["messages"])


async def test_a_replacement_goes_on_as_the_agent_that_had_taken_over(
    session: LiveSession, chat: ScriptedChat, realtime: OpenAiRealtime, utterance: Path
) -> None:
    callbacks = session.callbacks
    handed = {"agent_id": "ag-table"}
    callbacks.earlier_turns = [
        turn(0, text="Welcome."),
        turn(1, text="A table, please."),
        turn(2, text="For how many?").model_copy(update=handed),
    ]
    realtime.script = [BOOKING]
    await session.dispatch(attempt=2)
    caller = await session.call()
    try:
        await callbacks.wait_for(lambda: bool(callbacks.of("ready")))
        await caller.play(utterance)
        await callbacks.wait_for(lambda: len(callbacks.turns) == 2)
    finally:
        await caller.disconnect()

    assert said(list(callbacks.turns.values())) == [
        ("ag-table", "user", BOOKING.heard),
        ("ag-table", "assistant", BOOKING.answer),
    ]
    told = seen("openai", realtime.latest)
    assert told.prompt == "You take bookings."
    assert told.history == [
        ("assistant", "Welcome."),
        ("user", "A table, please."),
        ("assistant", "For how many?"),
    ]
    assert chat.requests == []


async def test_without_its_saved_agent_a_replacement_goes_on_as_the_first(
    session: LiveSession, chat: ScriptedChat, realtime: OpenAiRealtime
) -> None:
    callbacks = session.callbacks
    callbacks.earlier_turns = [
        turn(0, text="Bills here.").model_copy(update={"agent_id": "ag-gone"}),
        turn(1, text="How much?"),
    ]
    callbacks.earlier_turns[1].agent_id = "ag-gone"
    chat.script = ["I look it up."]
    await session.dispatch(attempt=2)
    caller = await session.call()
    try:
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
    finally:
        await caller.disconnect()

    assert said(list(callbacks.turns.values())) == [(None, "assistant", "I look it up.")]
    assert "front desk" in chat.instructions()
    assert realtime.connections == []
