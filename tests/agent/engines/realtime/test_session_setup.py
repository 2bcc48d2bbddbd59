"""What a configuration makes of a realtime session, as the provider sees it."""

from typing import Any

import pytest
from livekit.agents import function_tool

from agent.engines import EngineFault
from tests.agent.engines.realtime.seen import beginning, seen, session_of
from tests.agent.engines.realtime.talk import (
    KEY,
    MODELS,
    PLUGINS_OWN_WARNINGS,
    PROMPT,
    config,
    parts,
    settings,
    talking,
)
from tests.fakes.realtime import FakeProvider

pytestmark = PLUGINS_OWN_WARNINGS

VOICES = {"openai": "cedar", "xai": "rex", "google": "Kore", "ultravox": "Jessica"}
DEFAULT_VOICES = {"openai": "alloy", "xai": "ara", "google": "Puck", "ultravox": "Mark"}


@function_tool
async def look_up_table(people: int) -> str:
    """Look for a free table.

    Args:
        people: how many.
    """
    return f"a table for {people}"


def only(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", names)


async def test_model_voice_prompt_tools_and_key_reach_the_provider(
    name: str, fake: FakeProvider
) -> None:
    wanted = config(MODELS[name], {"voice": VOICES[name]})
    async with talking(wanted, settings(fake), tools=[look_up_table]):
        found = seen(name, await beginning(name, fake))

    assert found.key == KEY
    assert f"{name}/{found.model}" == MODELS[name]
    assert found.voice == VOICES[name]
    assert found.prompt == PROMPT
    assert found.tools == ["look_up_table"]
    assert found.history == []
    assert len(fake.connections) == 1


async def test_the_voice_of_the_descriptor_goes_first(name: str, fake: FakeProvider) -> None:
    wanted = config(f"{MODELS[name]}:{VOICES[name]}", {"voice": DEFAULT_VOICES[name]})
    async with talking(wanted, settings(fake)):
        assert seen(name, await beginning(name, fake)).voice == VOICES[name]


async def test_without_a_voice_it_is_the_catalogs_default(name: str, fake: FakeProvider) -> None:
    async with talking(config(MODELS[name]), settings(fake)):
        assert seen(name, await beginning(name, fake)).voice == DEFAULT_VOICES[name]


@pytest.mark.parametrize(
    ("fields", "by_meaning"),
    [
        ({}, False),
        ({"vad_enabled": True}, False),
        ({"vad_enabled": False}, True),
        ({"turn_detection": "multilingual"}, True),
        ({"turn_detection": "english", "vad_enabled": True}, True),
    ],
)
@only("openai", "xai", "google")
async def test_turn_detection(
    name: str, fake: FakeProvider, fields: dict[str, Any], by_meaning: bool
) -> None:
    async with talking(config(MODELS[name], **fields), settings(fake)):
        if name == "openai":
            detection = session_of(await beginning(name, fake))["audio"]["input"]["turn_detection"]
            assert detection["type"] == ("semantic_vad" if by_meaning else "server_vad")
            assert detection["create_response"]
        elif name == "xai":
            detection = session_of(await beginning(name, fake))["turn_detection"]
            assert detection["silence_duration_ms"] == (700 if by_meaning else 200)
        else:
            detection = (await beginning(name, fake)).setup["realtimeInputConfig"][
                "automaticActivityDetection"
            ]
            sensitivity = detection.get("endOfSpeechSensitivity")
            assert sensitivity == ("END_SENSITIVITY_LOW" if by_meaning else None)


@only("openai", "xai")
async def test_the_language_is_told_to_the_transcription(name: str, fake: FakeProvider) -> None:
    async with talking(config(MODELS[name], {"language": "de"}), settings(fake)):
        heard_with = session_of(await beginning(name, fake))["audio"]["input"]["transcription"]
    assert heard_with["language"] == "de"

    async with talking(config(MODELS[name]), settings(fake)):
        heard_with = session_of(await beginning(name, fake))["audio"]["input"]["transcription"]
    assert "language" not in heard_with


@only("ultravox")
async def test_the_language_is_a_hint(name: str, fake: FakeProvider) -> None:
    async with talking(config(MODELS[name], {"language": "de"}), settings(fake)):
        assert (await beginning(name, fake)).setup["languageHint"] == "de"


@only("google")
async def test_native_audio_is_told_its_language_in_words(name: str, fake: FakeProvider) -> None:
    async with talking(config(MODELS[name], {"language": "de-DE"}), settings(fake)):
        native = (await beginning(name, fake)).setup
    async with talking(config("google/gemini-3.8-live", {"language": "de-DE"}), settings(fake)):
        other = (await beginning(name, fake)).setup

    assert "de-DE" in native["systemInstruction"]["parts"][0]["text"]
    assert "languageCode" not in native["generationConfig"]["speechConfig"]
    assert other["systemInstruction"]["parts"][0]["text"] == PROMPT
    assert other["generationConfig"]["speechConfig"]["languageCode"] == "de-DE"


@only("openai")
async def test_noise_cancellation_is_the_providers_own(name: str, fake: FakeProvider) -> None:
    wanted = {"enabled": True, "type": "far_field"}
    async with talking(config(MODELS[name], noise_cancellation=wanted), settings(fake)):
        reduction = session_of(await beginning(name, fake))["audio"]["input"]["noise_reduction"]

    assert reduction == {"type": "far_field"}


@only("google")
async def test_a_gemini_session_has_no_end_of_its_own(name: str, fake: FakeProvider) -> None:
    async with talking(config(MODELS[name]), settings(fake)):
        setup = (await beginning(name, fake)).setup

    assert setup["contextWindowCompression"] == {"slidingWindow": {}}
    assert setup["sessionResumption"] == {}


async def test_a_missing_key_names_its_setting(name: str, fake: FakeProvider) -> None:
    variable = f"{name}_api_key"
    with pytest.raises(EngineFault, match=rf"engine\.llm: .*; set {variable.upper()}"):
        parts(config(MODELS[name]), settings(fake, **{variable: None}))


@only("openai")
async def test_a_provider_without_realtime_models_names_those_that_have_them(
    name: str, fake: FakeProvider
) -> None:
    with pytest.raises(EngineFault, match=r"engine\.llm: .*'acme'.*google, openai, ultravox, xai"):
        parts(config("acme/live-1"), settings(fake))


@only("ultravox")
async def test_what_a_realtime_model_cannot_follow_is_noticed(
    name: str, fake: FakeProvider
) -> None:
    wanted = config(
        MODELS[name],
        {"tts": "openai/tts-1:ash"},
        pronunciation_correction=True,
        turn_detection="english",
    )
    async with talking(wanted, settings(fake)):
        noticed = parts(wanted, settings(fake)).notices

    fields = ["engine.tts", "pronunciation_correction", "turn_detection"]
    assert [notice.field for notice in noticed] == fields
