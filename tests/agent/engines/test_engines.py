"""Engines by configuration, and the sentence that says why one cannot start."""

import asyncio
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from livekit.agents import inference, stt
from livekit.agents.language import LanguageCode
from livekit.plugins import openai

from adapters.settings import AgentSettings
from agent.engines import EngineFault, EngineInputs, EngineParts, build_engine, load_engine_plugins
from agent.engines.parts import parse_descriptor
from agent.engines.providers import keyed_plugins
from domain.agents.config import DispatchedConfig, Engine
from domain.agents.descriptors import Descriptor

SETTINGS = {
    "livekit_url": "ws://127.0.0.1:1",
    "livekit_api_key": "key",
    "livekit_api_secret": "secret",
    "openai_api_key": "sk-test",
}


@pytest.fixture(autouse=True, scope="module")
def somebody() -> Generator[None]:
    """Who answers that he does not understand: what a provider says is another test's matter."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        SETTINGS["openai_base_url"] = f"http://127.0.0.1:{server.server_port}/v1"
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield
        server.shutdown()
        serving.join()


def build(engine: Engine, **config: Any) -> EngineParts:
    dispatched = DispatchedConfig.model_validate({"engine": engine, **config})
    settings = AgentSettings.model_validate(SETTINGS)
    inputs = EngineInputs(config=dispatched, settings=settings, vad=inference.VAD())
    load_engine_plugins(inputs)
    return build_engine(inputs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("openai/gpt-4.1-mini", ("openai", "gpt-4.1-mini", None)),
        (" OpenAI/tts-1:ash ", ("openai", "tts-1", "ash")),
        ("cartesia/sonic-3:a1:b2", ("cartesia", "sonic-3", "a1:b2")),
        ("openrouter/meta/llama-3", ("openrouter", "meta/llama-3", None)),
    ],
)
def test_a_descriptor_is_provider_model_and_voice(
    text: str, expected: tuple[str, str, str | None]
) -> None:
    assert parse_descriptor(text, "engine.tts") == Descriptor(*expected)


@pytest.mark.parametrize("text", ["", "gpt-4.1", "openai/", "/gpt", "openai/:ash", "openai/tts-1:"])
def test_a_malformed_descriptor_names_field_and_form(text: str) -> None:
    with pytest.raises(EngineFault, match=r"engine\.llm: .*; write provider/model") as fault:
        parse_descriptor(text, "engine.llm")

    assert fault.value.field == "engine.llm"


def test_the_default_engine_is_the_pipeline_with_the_default_models() -> None:
    parts = build(Engine())

    assert isinstance(parts.stt, openai.STT)
    assert isinstance(parts.llm, openai.LLM)
    assert isinstance(parts.tts, openai.TTS)
    assert (parts.stt.model, parts.llm.model, parts.tts.model) == (
        "gpt-4o-mini-transcribe",
        "gpt-4.1-mini",
        "gpt-4o-mini-tts",
    )
    assert parts.vad is not None
    assert parts.notices == ()


def test_turn_taking_never_asks_a_gateway() -> None:
    handling = build(Engine()).turn_handling

    assert handling.get("turn_detection") == "vad"
    assert handling.get("interruption") == {"mode": "vad"}
    assert "preemptive_generation" not in handling


@pytest.mark.parametrize(("detection", "german"), [("english", 0.36), ("multilingual", 0.245)])
async def test_turn_detection_loads_the_local_model_with_the_languages_thresholds(
    detection: str, german: float
) -> None:
    # As in a call: an engine is built in a thread.
    parts = await asyncio.to_thread(build, Engine(), turn_detection=detection)
    detector = parts.turn_handling.get("turn_detection")

    assert isinstance(detector, inference.TurnDetector)
    # The one that needs no gateway.
    assert detector.model == "turn-detector-v1-mini"
    assert await detector.unlikely_threshold(LanguageCode("de")) == german
    assert await detector.unlikely_threshold(LanguageCode("en")) == 0.36


def test_without_voice_activity_detection_the_ears_stream_and_end_the_turns() -> None:
    parts = build(Engine(), vad_enabled=False, turn_detection="english")

    assert parts.vad is None
    assert isinstance(parts.stt, stt.StreamAdapter)
    assert parts.turn_handling.get("turn_detection") == "stt"
    [notice] = parts.notices
    assert notice.field == "turn_detection"


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_an_unknown_provider_names_its_field_and_the_known_ones(stage: str) -> None:
    engine = Engine.model_validate({stage: "acme/model-1"})
    with pytest.raises(EngineFault, match=rf"engine\.{stage}: .*'acme'.*; use one of: .*openai"):
        build(engine)


@pytest.mark.parametrize(
    ("engine", "field", "setting"),
    [
        (Engine(stt="cartesia/ink-whisper"), "engine.stt", "CARTESIA_API_KEY"),
        (Engine(llm="anthropic/claude-sonnet-4-6"), "engine.llm", "ANTHROPIC_API_KEY"),
        (Engine(tts="elevenlabs/eleven_v3"), "engine.tts", "ELEVEN_API_KEY"),
    ],
)
def test_a_missing_key_names_its_setting(engine: Engine, field: str, setting: str) -> None:
    with pytest.raises(EngineFault, match=rf"has no key.*; set {setting}, or LIVEKIT_INF") as fault:
        build(engine)

    assert fault.value.field == field


def test_a_first_choice_that_cannot_start_leaves_its_place_to_a_fallback() -> None:
    engine = Engine(tts="elevenlabs/eleven_v3", tts_fallbacks=["acme/voice", "openai/tts-1:ash"])
    parts = build(engine)

    assert isinstance(parts.tts, openai.TTS)
    first, second = parts.notices
    assert (first.field, second.field) == ("engine.tts", "engine.tts_fallbacks[0]")
    assert "set ELEVEN_API_KEY" in first.reason
    assert first.reason.endswith("'openai/tts-1' is used")


def test_if_no_model_of_a_stage_can_start_the_first_choice_is_the_reason() -> None:
    engine = Engine(llm="anthropic/claude-sonnet-4-6", llm_fallbacks=["groq/llama", "acme/x"])
    with pytest.raises(EngineFault, match=r"engine\.llm: provider 'anthropic' has no key"):
        build(engine)


def test_a_warm_process_imports_the_plugins_with_a_key_and_their_realtime_models_once() -> None:
    settings = AgentSettings.model_validate(
        {**SETTINGS, "xai_api_key": "xai-test", "deepgram_api_key": "dg-test"}
    )

    assert sorted(keyed_plugins(settings)) == [
        "agent.engines.realtime.openai_family",
        "livekit.plugins.deepgram",
        "livekit.plugins.openai",
        "livekit.plugins.xai",
    ]
