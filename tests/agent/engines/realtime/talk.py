"""A session of the realtime engine with a fake provider, without a room."""
# The SDK leaves the types of a session's user data and of run results open:
# pyright: reportUnknownMemberType=false

import wave
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, inference, llm
from livekit.agents.utils import http_context

from adapters.settings import AgentSettings
from agent.engines import EngineInputs, EngineParts, build_engine
from domain.agents.config import DispatchedConfig, Engine, EngineKind
from tests.agent.live import BOOK_A_TABLE
from tests.fakes.realtime import FakeProvider, GeminiLive, OpenAiRealtime, Ultravox, XaiRealtime
from tests.fakes.realtime.sound import tone

KEY = "key-for-tests"
MODELS: Mapping[str, str] = {
    "openai": "openai/gpt-realtime",
    "xai": "xai/grok-voice-latest",
    "google": "google/gemini-2.5-flash-native-audio-preview-12-2025",
    "ultravox": "ultravox/fixie-ai/ultravox",
}
PROVIDERS = tuple(MODELS)
PROMPT = "You take bookings for a restaurant."
PLUGINS_OWN_WARNINGS = pytest.mark.filterwarnings(
    # The Google plugin's way to set up a session.
    "ignore:Setting `LiveConnectConfig.generation_config` is deprecated:DeprecationWarning"
)
_RATE = 24_000
_FRAME_SAMPLES = _RATE // 50


def provider(name: str, folder: Path) -> FakeProvider:
    """The fake of a provider."""
    match name:
        case "openai":
            return OpenAiRealtime()
        case "xai":
            return XaiRealtime()
        case "google":
            return GeminiLive(folder)
        case _:
            return Ultravox()


def settings(fake: FakeProvider, **others: Any) -> AgentSettings:
    """Settings by which every provider is this one."""
    given: dict[str, Any] = {
        "livekit_url": "ws://127.0.0.1:1",
        "livekit_api_key": "key",
        "livekit_api_secret": "secret",
        "openai_api_key": KEY,
        "openai_realtime_base_url": fake.url,
        "google_api_key": KEY,
        "google_gemini_base_url": fake.url,
        "xai_api_key": KEY,
        "xai_base_url": fake.url,
        "ultravox_api_key": KEY,
        "ultravox_base_url": fake.url,
    }
    return AgentSettings(**(given | others))


def config(model: str, engine: Mapping[str, Any] | None = None, **fields: Any) -> DispatchedConfig:
    """A configuration with a realtime engine."""
    return DispatchedConfig(
        engine=Engine(kind=EngineKind.REALTIME, llm=model, **(engine or {})), **fields
    )


def parts(wanted: DispatchedConfig, given: AgentSettings) -> EngineParts:
    """What the agent worker would build."""
    return build_engine(EngineInputs(config=wanted, settings=given, vad=inference.VAD()))


@asynccontextmanager
async def talking(
    wanted: DispatchedConfig,
    given: AgentSettings,
    *,
    history: llm.ChatContext | None = None,
    tools: Sequence[llm.Tool] = (),
) -> AsyncGenerator[AgentSession[None]]:
    """A session that its provider has taken; raises if it does not."""
    built = parts(wanted, given)
    async with http_context.open():
        session: AgentSession[None] = AgentSession(
            llm=built.llm, vad=built.vad, turn_handling=built.turn_handling
        )
        agent = Agent(
            instructions=wanted.prompt or PROMPT,
            chat_ctx=history or llm.ChatContext.empty(),
            tools=[*tools],
        )
        try:
            await session.start(agent, record=False)
            assert built.accepted is not None
            await built.accepted()
            yield session
        finally:
            await session.aclose()


def speak(session: AgentSession[None]) -> None:
    """Let the provider hear a second of speech, and the silence that ends a turn."""
    _push(session, tone(1.0, _RATE))


def say_words(session: AgentSession[None]) -> None:
    """The same with a recorded sentence, which is speech to voice activity detection as well."""
    with wave.open(str(BOOK_A_TABLE), "rb") as file:
        assert file.getframerate() == _RATE
        _push(session, file.readframes(file.getnframes()))


def _push(session: AgentSession[None], sound: bytes) -> None:
    pcm = sound + bytes(2 * _RATE * 2)
    size = 2 * _FRAME_SAMPLES
    model = cast(llm.RealtimeSession[Any], session.current_agent.realtime_llm_session)
    for start in range(0, len(pcm) - size + 1, size):
        frame = rtc.AudioFrame(pcm[start : start + size], _RATE, 1, _FRAME_SAMPLES)
        model.push_audio(frame)


def said(session: AgentSession[None]) -> list[tuple[str, str]]:
    """Who has said what in the session."""
    return [(message.role, message.text_content or "") for message in session.history.messages()]
