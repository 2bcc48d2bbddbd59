"""Whole calls with realtime models: a real agent worker and room, and each provider's own wire."""

import uuid
import wave
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from domain.agents.config import AgentConfig, ConversationStart, Engine, EngineKind
from stack.demo.caller import MICROPHONE_RATE
from tests.agent.engines.realtime.seen import seen
from tests.agent.engines.realtime.talk import KEY, MODELS, PROVIDERS, provider
from tests.agent.live import (
    BOOK_A_TABLE,
    GREETING,
    AgentWorker,
    LiveSession,
    live_session,
    start_agent,
)
from tests.agent.samples import turn
from tests.fakes.callback_api import CallbackApi
from tests.fakes.realtime import ANSWER_SECONDS, Exchange, FakeProvider, GeminiLive, Refusal
from tests.fakes.realtime.sound import tone
from tests.servers import LiveKitServer
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)

BOOKING = Exchange(heard="I would like to book a table for four.", answer="For which day?")
FAREWELL = Exchange(heard="Goodbye.", answer="Thank you for calling.", tool="end_call")


@pytest.fixture(scope="module")
async def fakes(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[dict[str, FakeProvider]]:
    """All four providers."""
    folder = tmp_path_factory.mktemp("providers")
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(provider(name, folder)) for name in PROVIDERS}


@pytest.fixture(scope="module")
async def worker(
    livekit_server: LiveKitServer,
    fakes: dict[str, FakeProvider],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[AgentWorker]:
    folder = tmp_path_factory.mktemp("agent")
    gemini = fakes["google"]
    assert isinstance(gemini, GeminiLive)
    environment = {
        "OPENAI_API_KEY": KEY,
        "OPENAI_REALTIME_BASE_URL": fakes["openai"].url,
        "XAI_API_KEY": KEY,
        "XAI_BASE_URL": fakes["xai"].url,
        "GOOGLE_API_KEY": KEY,
        "GOOGLE_GEMINI_BASE_URL": gemini.url,
        "SSL_CERT_FILE": str(gemini.certificate),
        "ULTRAVOX_API_KEY": KEY,
        "ULTRAVOX_BASE_URL": fakes["ultravox"].url,
    }
    async with (
        CallbackApi() as home,
        start_agent(
            livekit_server, "http://127.0.0.1:1", home.url, folder, "realtime", environment
        ) as agent,
    ):
        yield agent


@pytest.fixture
async def session(
    livekit_server: LiveKitServer, worker: AgentWorker
) -> AsyncGenerator[LiveSession]:
    async with live_session(livekit_server, worker, f"r{uuid.uuid4().hex[:8]}") as live:
        yield live


@pytest.fixture
def live(name: str, fakes: dict[str, FakeProvider]) -> FakeProvider:
    """The provider of this name, as if nobody had called it before."""
    fakes[name].reset()
    return fakes[name]


@pytest.fixture(scope="module")
def utterance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound that the providers take for a sentence."""
    path = tmp_path_factory.mktemp("speech") / "utterance.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MICROPHONE_RATE)
        file.writeframes(tone(1.0, MICROPHONE_RATE))
    return path


def configured(name: str) -> AgentConfig:
    return AgentConfig(
        engine=Engine(kind=EngineKind.REALTIME, llm=MODELS[name]),
        prompt="You take bookings for {{restaurant}}.",
        dynamic_variables={"restaurant": "the Blue Door"},
        conversation_start=ConversationStart(who="ai", greeting=GREETING),
        tools=["end_call"],
    )


def said(turns: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["role"], each["text"]) for each in turns]


async def test_a_whole_call(
    name: str, live: FakeProvider, session: LiveSession, utterance: Path
) -> None:
    callbacks = session.callbacks
    session.config = configured(name)
    live.script = [BOOKING, FAREWELL]
    await session.dispatch()
    await callbacks.wait_for(lambda: bool(callbacks.of("ready")))
    caller = await session.call()
    try:
        await caller.wait_until_agent_spoke(0, within=60)
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
        await caller.play(utterance)
        await callbacks.wait_for(lambda: len(callbacks.turns) == 3)
        await caller.play(utterance)
        await callbacks.wait_for(lambda: bool(callbacks.reports))
        await session.wait_until_no_agent()
    finally:
        await caller.disconnect()

    expected = [
        ("assistant", GREETING),
        ("user", BOOKING.heard),
        ("assistant", BOOKING.answer),
        ("user", FAREWELL.heard),
        ("assistant", FAREWELL.answer),
    ]
    [report] = callbacks.reports
    assert report["end_reason"] == "agent_ended"
    assert said(report["turns"]) == expected
    assert said(list(callbacks.turns.values())) == expected
    assert caller.heard.speech_seconds() > 2 * ANSWER_SECONDS
    [connection] = live.connections
    assert connection.ear.seconds > 1.0
    told = seen(name, connection)
    assert told.key == KEY
    assert told.prompt == "You take bookings for the Blue Door."
    assert told.tools == ["end_call"]


@pytest.mark.parametrize(
    ("name", "refusal", "reason", "retryable"),
    [
        ("openai", Refusal.KEY, "OPENAI_API_KEY: openai refuses it (401)", False),
        ("google", Refusal.KEY, "GOOGLE_API_KEY: google refuses it (1007)", False),
        ("xai", Refusal.MODEL, "engine.llm: xai refuses a session with the model", False),
        ("ultravox", Refusal.DOWN, "ultravox cannot take a session now (503)", True),
    ],
)
async def test_a_provider_that_refuses_is_a_failure_and_not_silence(
    live: FakeProvider,
    session: LiveSession,
    name: str,
    refusal: Refusal,
    reason: str,
    retryable: bool,
) -> None:
    session.config = configured(name)
    live.refusal = refusal
    await session.dispatch()
    await session.callbacks.wait_for(lambda: bool(session.callbacks.of("failed")))
    await session.wait_until_no_agent()

    [failed] = session.callbacks.received
    assert failed.body["reason"].startswith(reason)
    assert failed.body["retryable"] is retryable


@pytest.mark.parametrize("name", ["openai"])
async def test_a_provider_that_dies_in_mid_call_ends_the_agents_part(
    name: str, live: FakeProvider, session: LiveSession
) -> None:
    callbacks = session.callbacks
    session.config = configured(name)
    await session.dispatch()
    caller = await session.call()
    try:
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
        live.refusal = Refusal.DOWN
        await live.hang_up()
        await callbacks.wait_for(lambda: bool(callbacks.reports))
        await session.wait_until_no_agent()
    finally:
        await caller.disconnect()

    [report] = callbacks.reports
    assert report["end_reason"] == "error"
    assert said(report["turns"]) == [("assistant", GREETING)]


@pytest.mark.parametrize("name", ["openai"])
async def test_a_provider_that_falls_silent_in_mid_call_ends_the_agents_part(
    name: str, live: FakeProvider, session: LiveSession
) -> None:
    callbacks = session.callbacks
    session.config = configured(name)
    await session.dispatch()
    caller = await session.call()
    try:
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
        await caller.wait_until_heard(30)
        live.refusal = Refusal.SILENCE
        await caller.play(BOOK_A_TABLE)
        await callbacks.wait_for(lambda: bool(callbacks.reports))
        await session.wait_until_no_agent()
    finally:
        await caller.disconnect()

    [report] = callbacks.reports
    assert report["end_reason"] == "error"
    assert report["error"] == (
        "realtime_model_error: openai is silent: no answer within 15 s of being asked for one"
    )
    assert said(report["turns"]) == [("assistant", GREETING)]
    assert len(live.connections) == 1


async def test_a_replacement_answers_what_was_said_and_does_not_greet(
    name: str, live: FakeProvider, session: LiveSession
) -> None:
    callbacks = session.callbacks
    session.config = configured(name)
    callbacks.earlier_turns = [turn(0, text=GREETING), turn(1, text=BOOKING.heard)]
    live.script = [BOOKING]
    await session.dispatch(attempt=2)
    caller = await session.call()
    try:
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
        await caller.wait_until_agent_spoke(0, within=60)
    finally:
        await caller.disconnect()

    assert said(list(callbacks.turns.values())) == [("assistant", BOOKING.answer)]
    assert seen(name, live.latest).history == [("assistant", GREETING), ("user", BOOKING.heard)]


async def test_nothing_that_was_said_and_no_key_is_in_the_log(worker: AgentWorker) -> None:
    await eventually(lambda: bool(worker.log("attempt_claimed")), 30)
    log = worker.process.log.read_text()

    for secret in (KEY, GREETING, BOOKING.heard, BOOKING.answer, "Blue Door"):
        assert secret not in log
