"""The catalogs name what exists; the installed plugins' lists are the measure."""

import re
from typing import Any, get_args

import pytest
from anthropic.resources.messages.messages import DEPRECATED_MODELS
from anthropic.types import ModelParam
from livekit.agents.inference import llm, stt, tts
from livekit.agents.inference._realtime_models import RealtimeModels as GatewayRealtimeModels
from livekit.agents.llm._realtime.openai_types import RealtimeModels
from livekit.plugins.anthropic.models import ChatModels
from livekit.plugins.cartesia.models import TTSDefaultVoiceId as CARTESIA_DEFAULT
from livekit.plugins.elevenlabs import DEFAULT_VOICE_ID as ELEVENLABS_DEFAULT
from livekit.plugins.elevenlabs.stt import ElevenLabsSTTModels
from livekit.plugins.groq import models as groq
from livekit.plugins.openai.models import TTSModels, TTSVoices
from livekit.plugins.xai import GrokVoices
from openai.types import AudioModel

from agent.engines.providers import PLUGINS
from agent.tools import BUILT_IN as AGENT_TOOLS
from domain.agents.catalogs import BUILT_IN, ModelKind, extended, parse_extra_models
from domain.agents.config import DEFAULT_LLM, DEFAULT_REALTIME, DEFAULT_STT, DEFAULT_TTS
from domain.agents.descriptors import parse_descriptor
from domain.errors import InvalidInput


def literals(kind: Any) -> set[str]:
    """All strings of a literal type, or of a union of them."""
    found = get_args(kind)
    return {item for item in found if isinstance(item, str)}.union(
        *(literals(item) for item in found if not isinstance(item, str))
    )


def names(kind: ModelKind, provider: str | None = None) -> set[str]:
    return {
        name for name in BUILT_IN.models[kind].names() if provider in (None, name.split("/", 1)[0])
    }


def named(provider: str, kind: Any) -> set[str]:
    """A plugin's list of models as descriptors."""
    return {f"{provider}/{model}" for model in literals(kind)}


def test_the_language_models_are_livekits_and_the_plugins_less_the_refused() -> None:
    models = BUILT_IN.models[ModelKind.LLM]
    living = literals(ModelParam) - set(DEPRECATED_MODELS)
    retired = {f"anthropic/{model}" for model in literals(ChatModels) - living}
    assert set(models.refused) == {"openai/gpt-5-nano", "openai/gpt-5-mini"} | retired
    plugins = named("anthropic", ChatModels) | named("groq", groq.LLMModels)
    assert set(models.refused) <= literals(llm.LLMModels) | plugins
    assert names(ModelKind.LLM) == (literals(llm.LLMModels) | plugins) - set(models.refused)


def test_the_realtime_models_are_those_of_the_plugin_and_the_gateway() -> None:
    gateway = literals(GatewayRealtimeModels)
    ours = {f"openai/{model}" for model in literals(RealtimeModels)}
    assert names(ModelKind.REALTIME, "openai") == ours | {
        name for name in gateway if name.startswith("openai/")
    }
    assert gateway <= names(ModelKind.REALTIME)
    assert [one.id for one in BUILT_IN.models[ModelKind.REALTIME].providers] == [
        "openai",
        "google",
        "ultravox",
        "xai",
    ]


def test_the_speech_models_are_those_of_the_plugin_and_the_gateway() -> None:
    assert names(ModelKind.STT, "openai") == {f"openai/{name}" for name in literals(AudioModel)}
    lists = (
        *(stt.DeepgramModels, stt.DeepgramFluxModels, stt.CartesiaModels, stt.AssemblyAIModels),
        *(stt.XaiModels, stt.SpeechmaticsModels, stt.InworldModels, stt.GoogleModels),
    )
    gateway = set[str]().union(*(literals(models) for models in lists))
    plugins = named("elevenlabs", ElevenLabsSTTModels) | named("groq", groq.STTModels)
    assert gateway | plugins == names(ModelKind.STT) - names(ModelKind.STT, "openai")

    assert names(ModelKind.TTS, "openai") == {f"openai/{name}" for name in literals(TTSModels)}
    spoken = {name for name in literals(tts.TTSModels) if "/" in name}
    assert names(ModelKind.TTS, "groq") == named("groq", groq.TTSModels)
    others = {
        name for one in ("openai", "elevenlabs", "groq") for name in names(ModelKind.TTS, one)
    }
    assert spoken == names(ModelKind.TTS) - others
    openai = BUILT_IN.models[ModelKind.TTS].provider("openai")
    assert openai is not None
    assert set(openai.voices) == literals(TTSVoices)


@pytest.mark.parametrize("kind", ModelKind)
def test_every_list_says_where_and_when_it_was_read(kind: ModelKind) -> None:
    models = BUILT_IN.models[kind]
    assert models.source
    assert len({one.id for one in models.providers}) == len(models.providers)
    for provider in models.providers:
        assert provider.source
        assert provider.default_model in provider.models
        assert len(set(provider.models)) == len(provider.models)
        assert provider.default_voice is None or provider.default_voice in provider.voices


def test_every_provider_of_speech_lists_voices() -> None:
    for provider in BUILT_IN.models[ModelKind.TTS].providers:
        assert provider.voices, provider.id
        assert len(set(provider.voices)) == len(provider.voices), provider.id
        assert provider.voice_names.keys() <= set(provider.voices), provider.id


def test_voices_from_elsewhere_say_when_they_were_read() -> None:
    for name in ("elevenlabs", "cartesia", "deepgram", "rime", "inworld", "fishaudio"):
        provider = BUILT_IN.models[ModelKind.TTS].provider(name)
        assert provider is not None
        assert re.search(r"; voices?: .+ on 20\d\d-\d\d-\d\d$", provider.source), name


def test_voices_with_opaque_ids_have_names() -> None:
    speech = BUILT_IN.models[ModelKind.TTS]
    for name, voice, shown in (
        ("elevenlabs", ELEVENLABS_DEFAULT, "Bella"),
        ("cartesia", CARTESIA_DEFAULT, "Katie"),
    ):
        provider = speech.provider(name)
        assert provider is not None
        assert provider.default_voice == voice
        assert provider.voice_names.keys() == set(provider.voices)
        assert provider.voice_names[voice] == shown
        assert provider.voice_id(shown.lower()) == voice


def test_the_voices_of_groq_and_xai_are_the_plugins() -> None:
    speech = BUILT_IN.models[ModelKind.TTS]
    for name, listed in (("groq", groq.TTSVoices), ("xai", GrokVoices)):
        provider = speech.provider(name)
        assert provider is not None
        assert set(provider.voices) == literals(listed)


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        (ModelKind.LLM, DEFAULT_LLM),
        (ModelKind.STT, DEFAULT_STT),
        (ModelKind.TTS, DEFAULT_TTS),
        (ModelKind.REALTIME, DEFAULT_REALTIME),
    ],
)
def test_what_nobody_chose_is_in_the_catalog(kind: ModelKind, default: str) -> None:
    assert BUILT_IN.models[kind].offers(parse_descriptor(default, "default"))


def test_the_default_model_is_the_one_that_the_seed_names() -> None:
    assert DEFAULT_LLM == "openai/gpt-4.1-mini"


def test_what_the_agent_worker_has_can_be_configured() -> None:
    assert set(AGENT_TOOLS) <= BUILT_IN.tool_ids()
    assert "search_knowledge_base" in BUILT_IN.tool_ids()
    for kind in (ModelKind.STT, ModelKind.LLM, ModelKind.TTS):
        ours = {provider for provider, plugin in PLUGINS.items() if kind.value in plugin.stages}
        assert ours <= {one.id for one in BUILT_IN.models[kind].providers}


def test_models_of_ones_own_extend_the_catalog() -> None:
    extra = parse_extra_models("openai/llama3.3, stt=acme/ears ,realtime=openai/*,tts=acme/v:x")
    catalog = extended(BUILT_IN, extra)

    def offers(kind: ModelKind, text: str) -> bool:
        return catalog.models[kind].offers(parse_descriptor(text, "engine"))

    assert offers(ModelKind.LLM, "openai/llama3.3")
    assert offers(ModelKind.LLM, "openai/gpt-4.1-mini")
    assert not offers(ModelKind.LLM, "openai/llama4")
    assert offers(ModelKind.STT, "acme/ears")
    assert not offers(ModelKind.LLM, "acme/ears")
    assert offers(ModelKind.REALTIME, "openai/whatever")
    assert not offers(ModelKind.REALTIME, "xai/whatever")
    assert BUILT_IN.models[ModelKind.STT].provider("acme") is None, "the shipped one stays"


@pytest.mark.parametrize("text", ["llama3.3", "openai/", "ears=acme/x", "/x", "stt="])
def test_an_entry_that_is_none_is_named(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_extra_models(f"openai/fine,{text}")
    assert refused.value.field == "EVERLINE_EXTRA_MODELS"
    assert refused.value.cure
