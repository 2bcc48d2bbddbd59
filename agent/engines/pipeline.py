"""The pipeline engine: speech to text, a chat model, text to speech; each with its fallbacks."""

from typing import Any

from livekit.agents import llm, stt, tts
from livekit.agents.vad import VAD

from agent.engines.parts import EngineInputs, EngineParts
from agent.engines.preflight import findings
from agent.engines.providers import load_plugins
from agent.engines.stage import Stage
from agent.engines.turn_taking import hearing, turn_handling, turn_notices
from domain.agents.config import DEFAULT_LLM, DEFAULT_STT, DEFAULT_TTS


def load_pipeline_plugins(inputs: EngineInputs) -> None:
    """Import the plugins that this pipeline uses; on the main thread, before `build_pipeline`."""
    engine = inputs.config.engine
    texts = [
        *(engine.stt or DEFAULT_STT, *(engine.stt_fallbacks or [])),
        *(engine.llm or DEFAULT_LLM, *(engine.llm_fallbacks or [])),
        *(engine.tts or DEFAULT_TTS, *(engine.tts_fallbacks or [])),
    ]
    named = dict.fromkeys(text.strip().partition("/")[0].lower() for text in texts)
    load_plugins(named, inputs.settings)


def build_pipeline(inputs: EngineInputs) -> EngineParts:
    """The three stages by their descriptors, each with its default.

    Asks the providers whether they accept what is configured, so it may block for some seconds.

    Raises:
        EngineFault: a stage has no model that can start.
        EngineUnavailable: none of a stage's models can be reached now.
    """
    stages = ears, mind, voice = (_ears(inputs), _mind(inputs), _voice(inputs))
    for stage in stages:
        stage.models()
    found = findings(probe for stage in stages for probe in stage.probes())
    for stage in stages:
        stage.drop(found)
    config = inputs.config
    return EngineParts(
        stt=hearing(_first_of_stt(ears.models(), inputs.vad), inputs.vad, config),
        llm=_first_of_llm(mind.models()),
        tts=_first_of_tts(voice.models()),
        vad=None if config.vad_enabled is False else inputs.vad,
        turn_handling=turn_handling(config),
        notices=tuple(
            [*turn_notices(config), *(notice for stage in stages for notice in stage.notices())]
        ),
    )


def _ears(inputs: EngineInputs) -> Stage[stt.STT[Any]]:
    engine = inputs.config.engine
    return Stage(
        "stt",
        engine.stt or DEFAULT_STT,
        engine.stt_fallbacks or [],
        lambda provider, descriptor, _: provider.speech_to_text(descriptor, engine.language),
        None,
        inputs.settings,
    )


def _mind(inputs: EngineInputs) -> Stage[llm.LLM[Any]]:
    engine = inputs.config.engine
    return Stage(
        "llm",
        engine.llm or DEFAULT_LLM,
        engine.llm_fallbacks or [],
        lambda provider, descriptor, _: provider.chat_model(descriptor),
        None,
        inputs.settings,
    )


def _voice(inputs: EngineInputs) -> Stage[tts.TTS[Any]]:
    engine = inputs.config.engine
    return Stage(
        "tts",
        engine.tts or DEFAULT_TTS,
        engine.tts_fallbacks or [],
        lambda provider, descriptor, voice: provider.text_to_speech(
            descriptor, voice, engine.language
        ),
        engine.voice,
        inputs.settings,
    )


def _first_of_stt(models: list[stt.STT[Any]], vad: VAD) -> stt.STT[Any]:
    return models[0] if len(models) == 1 else stt.FallbackAdapter(models, vad=vad)


def _first_of_llm(models: list[llm.LLM[Any]]) -> llm.LLM[Any]:
    return models[0] if len(models) == 1 else llm.FallbackAdapter(models)


def _first_of_tts(models: list[tts.TTS[Any]]) -> tts.TTS[Any]:
    return models[0] if len(models) == 1 else tts.FallbackAdapter(models)
