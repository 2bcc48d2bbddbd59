"""Which engine a plain `model` and `voice` mean, and what a configuration resolves to."""

from domain.agent_config import (
    DEFAULT_LLM,
    DEFAULT_REALTIME,
    DEFAULT_STT,
    DEFAULT_TTS,
    AgentConfig,
    Engine,
    EngineKind,
)


def choose_engine(config: AgentConfig, model: str | None, voice: str | None) -> AgentConfig:
    """The configuration with `model` and `voice` translated into its engine.

    A voice with a provider (`cartesia/sonic-3:<id>`, `elevenlabs/<model>:<id>`) speaks in a
    pipeline; a bare voice (`alloy`) is a realtime model's. Without either, the engine stays.
    """
    engine = config.engine.model_copy()
    if voice and "/" in voice:
        engine = engine.model_copy(update={"kind": EngineKind.PIPELINE, "tts": voice})
    elif voice:
        engine = engine.model_copy(update={"kind": EngineKind.REALTIME, "voice": voice})
    if model:
        engine = engine.model_copy(update={"llm": model})
    return config.model_copy(update={"engine": with_defaults(engine)})


def with_defaults(engine: Engine) -> Engine:
    """The engine with every model named that it will use."""
    if engine.kind is EngineKind.REALTIME:
        return engine.model_copy(update={"llm": engine.llm or DEFAULT_REALTIME})
    return engine.model_copy(
        update={
            "stt": engine.stt or DEFAULT_STT,
            "llm": engine.llm or DEFAULT_LLM,
            "tts": engine.tts or DEFAULT_TTS,
        }
    )


def resolved_voice(engine: Engine) -> str | None:
    """The voice that will be heard: a realtime model's own, or the pipeline's TTS descriptor."""
    return engine.voice if engine.kind is EngineKind.REALTIME else engine.tts
