"""Engines by configuration, and the sentence that says why one cannot start."""

import pytest
from livekit.agents import inference
from livekit.plugins import openai
from pydantic import SecretStr

from adapters.settings import AgentSettings
from agent.engines import EngineFault, EngineInputs, EngineParts, build_engine
from agent.engines.descriptor import Descriptor, parse_descriptor
from domain.agent_config import DispatchedConfig, Engine, EngineKind


def settings(key: str | None = "sk-test") -> AgentSettings:
    return AgentSettings(
        livekit_url="ws://127.0.0.1:1",
        livekit_api_key="key",
        livekit_api_secret=SecretStr("secret"),
        openai_api_key=SecretStr(key) if key else None,
        openai_base_url="http://127.0.0.1:9/v1",
    )


def build(
    engine: Engine, key: str | None = "sk-test", preemptive_generation: bool | None = None
) -> EngineParts:
    config = DispatchedConfig(engine=engine, preemptive_generation=preemptive_generation)
    return build_engine(EngineInputs(config=config, settings=settings(key), vad=inference.VAD()))


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
    assert parse_descriptor(text, "engine.tts") == Descriptor("engine.tts", *expected)


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


def test_turn_taking_never_asks_a_gateway() -> None:
    handling = build(Engine()).turn_handling

    assert handling.get("turn_detection") == "vad"
    assert handling.get("interruption") == {"mode": "vad"}
    assert "preemptive_generation" not in handling


def test_preemptive_generation_follows_the_configuration() -> None:
    handling = build(Engine(), preemptive_generation=False).turn_handling

    assert handling.get("preemptive_generation") == {"enabled": False}


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_an_unknown_provider_names_its_field_and_the_known_ones(stage: str) -> None:
    engine = Engine.model_validate({stage: "acme/model-1"})
    with pytest.raises(EngineFault, match=rf"engine\.{stage}: .*'acme'.*; use one of: .*openai"):
        build(engine)


def test_a_missing_key_names_its_setting() -> None:
    with pytest.raises(EngineFault, match=r"engine\.stt: .*no key.*; set OPENAI_API_KEY"):
        build(Engine(), key=None)


def test_an_engine_of_an_unknown_kind_says_which_there_are() -> None:
    with pytest.raises(EngineFault, match=r"engine\.kind: .*'realtime'.*; use one of: pipeline"):
        build(Engine(kind=EngineKind.REALTIME))
