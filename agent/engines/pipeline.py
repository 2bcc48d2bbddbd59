"""The pipeline engine: speech to text, a chat model, text to speech; each with its fallbacks."""

from livekit.agents import llm, stt, tts

from agent.engines.parts import EngineInputs, EngineParts
from agent.engines.preflight import findings
from agent.engines.providers import load_plugins
from agent.engines.stage import Stage
from agent.engines.turn_taking import hearing, turn_handling, turn_notices
from domain.agents.config import DEFAULT_LLM, DEFAULT_STT, DEFAULT_TTS, Engine


def load_pipeline_plugins(inputs: EngineInputs) -> None:
    """Import the plugins that this pipeline uses; on the main thread, before `build_pipeline`."""
    texts = [text for models in _descriptors(inputs.config.engine).values() for text in models]
    named = dict.fromkeys(text.strip().partition("/")[0].lower() for text in texts)
    load_plugins(named, inputs.settings)


def build_pipeline(inputs: EngineInputs) -> EngineParts:
    """The three stages by their descriptors, each with its default.

    Asks the providers whether they accept what is configured, so it may block for some seconds.

    Raises:
        EngineFault: a stage has no model that can start.
        EngineUnavailable: none of a stage's models can be reached now.
    """
    config, vad = inputs.config, inputs.vad
    stages = [Stage(name, texts, inputs) for name, texts in _descriptors(config.engine).items()]
    for stage in stages:
        stage.models()
    found = findings(probe for stage in stages for probe in stage.probes())
    for stage in stages:
        stage.drop(found)
    ears, minds, voices = (stage.models() for stage in stages)
    heard = ears[0] if len(ears) == 1 else stt.FallbackAdapter(ears, vad=vad)
    return EngineParts(
        stt=hearing(heard, vad, config),
        llm=minds[0] if len(minds) == 1 else llm.FallbackAdapter(minds),
        tts=voices[0] if len(voices) == 1 else tts.FallbackAdapter(voices),
        vad=None if config.vad_enabled is False else vad,
        turn_handling=turn_handling(config),
        notices=(
            *turn_notices(config),
            *(notice for stage in stages for notice in stage.notices()),
        ),
    )


def _descriptors(engine: Engine) -> dict[str, list[str]]:
    """The descriptors of each stage in the order of preference."""
    return {
        "stt": [engine.stt or DEFAULT_STT, *(engine.stt_fallbacks or [])],
        "llm": [engine.llm or DEFAULT_LLM, *(engine.llm_fallbacks or [])],
        "tts": [engine.tts or DEFAULT_TTS, *(engine.tts_fallbacks or [])],
    }
