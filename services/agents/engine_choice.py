"""Which engine a plain `model` and `voice` mean, and whether its models exist."""

from collections.abc import Sequence
from typing import Literal

from domain.agents.catalogs import Catalog, ModelKind, ModelList
from domain.agents.config import (
    DEFAULT_LLM,
    DEFAULT_REALTIME,
    DEFAULT_STT,
    DEFAULT_TTS,
    AgentConfig,
    ConfigWarning,
    Engine,
    EngineKind,
)
from domain.agents.descriptors import Descriptor, parse_descriptor
from domain.agents.merging import another_engine
from domain.errors import InvalidInput


def choose_engine(
    config: AgentConfig, model: str | None, voice: str | None, catalog: Catalog
) -> AgentConfig:
    """The configuration with `model` and `voice` translated into its engine, and all models named.

    A voice with a provider (`cartesia/sonic-3:<id>`, `elevenlabs/<model>:<id>`) speaks in a
    pipeline; a bare voice (`alloy`) is a realtime model's. Without either, the engine stays.
    """
    engine = config.engine
    if voice and "/" in voice:
        # The engine's own voice would be another provider's.
        engine = another_engine(engine, kind=EngineKind.PIPELINE, tts=voice, voice=None)
    elif voice:
        engine = another_engine(engine, kind=EngineKind.REALTIME, voice=voice)
    if model:
        engine = another_engine(engine, llm=model)
    return config.model_copy(update={"engine": with_defaults(engine, catalog)})


def with_defaults(engine: Engine, catalog: Catalog) -> Engine:
    """The engine with every model named that it will use."""
    if engine.kind is EngineKind.REALTIME:
        return engine.model_copy(
            update={"llm": engine.llm or _realtime_model_of(engine.voice, catalog)}
        )
    return engine.model_copy(
        update={
            "stt": engine.stt or DEFAULT_STT,
            "llm": engine.llm or DEFAULT_LLM,
            "tts": engine.tts or DEFAULT_TTS,
        }
    )


def _realtime_model_of(voice: str | None, catalog: Catalog) -> str:
    """The default model of the provider whose voice it is; the default one's voices go first."""
    provider = catalog.models[ModelKind.REALTIME].provider_of_voice(voice) if voice else None
    if provider is None or DEFAULT_REALTIME.startswith(f"{provider.id}/"):
        return DEFAULT_REALTIME
    return f"{provider.id}/{provider.default_model}"


def resolved_voice(engine: Engine) -> str | None:
    """The voice that will be heard: a realtime model's own, or the pipeline's TTS descriptor."""
    return engine.voice if engine.kind is EngineKind.REALTIME else engine.tts


def checked_engine(
    engine: Engine,
    catalog: Catalog,
    *,
    llm_field: str = "engine.llm",
    voice_field: str | None = None,
) -> tuple[Engine, list[ConfigWarning]]:
    """The engine with its voice in the provider's spelling, if the catalog has what it names.

    The language model must be in the catalog. Of speech models only the provider must be: their
    lists age quickly, and one that is not listed is worth a warning.

    Args:
        engine: with every model named.
        catalog: what there is.
        llm_field: where the language model was given, for the error.
        voice_field: where the voice was given, if not in the engine.

    Raises:
        InvalidInput: naming the field, and what may stand there.
    """
    if engine.kind is EngineKind.REALTIME:
        return _checked_realtime(engine, catalog, llm_field, voice_field or "engine.voice"), []
    _check_llm(engine.llm or DEFAULT_LLM, ModelKind.LLM, catalog, llm_field)
    for field, text in _fallbacks(engine, "llm"):
        _check_llm(text, ModelKind.LLM, catalog, field)
    hearing = [("engine.stt", engine.stt or DEFAULT_STT), *_fallbacks(engine, "stt")]
    speaking = [(voice_field or "engine.tts", engine.tts or DEFAULT_TTS)]
    speaking += _fallbacks(engine, "tts")
    warnings: list[ConfigWarning] = []
    for field, text in hearing:
        warnings += _check_speech(text, ModelKind.STT, catalog, field)
    for field, text in speaking:
        warnings += _check_speech(text, ModelKind.TTS, catalog, field)
    return engine, warnings


def _fallbacks(engine: Engine, stage: Literal["stt", "llm", "tts"]) -> list[tuple[str, str]]:
    """The fallbacks of a stage, each with its field."""
    texts = {
        "stt": engine.stt_fallbacks,
        "llm": engine.llm_fallbacks,
        "tts": engine.tts_fallbacks,
    }[stage]
    return [(f"engine.{stage}_fallbacks[{index}]", text) for index, text in enumerate(texts or [])]


def _checked_realtime(engine: Engine, catalog: Catalog, llm_field: str, voice_field: str) -> Engine:
    model = _check_llm(engine.llm or DEFAULT_REALTIME, ModelKind.REALTIME, catalog, llm_field)
    provider = catalog.models[ModelKind.REALTIME].provider(model.provider)
    if engine.voice is None or provider is None:
        return engine
    voice = provider.voice(engine.voice)
    if voice is None and not provider.custom_voices:
        raise InvalidInput(
            f"{model.name} has no voice {engine.voice[:100]!r}",
            field=voice_field,
            cure=f"use one of: {', '.join(provider.voices)}",
        )
    return engine.model_copy(update={"voice": voice or engine.voice})


def _check_llm(text: str, kind: ModelKind, catalog: Catalog, field: str) -> Descriptor:
    models = catalog.models[kind]
    cure = f"use one of: {', '.join(models.names())}"
    found = parse_descriptor(text, field, cure)
    if found.name in models.refused or not models.offers(found):
        raise InvalidInput(_why_not(found, kind, catalog), field=field, cure=cure)
    return found


def _why_not(found: Descriptor, kind: ModelKind, catalog: Catalog) -> str:
    models = catalog.models[kind]
    name = found.name[:100]
    if found.name in models.refused:
        return f"the model {name!r} is refused: {models.refused[found.name]}"
    if kind is ModelKind.LLM and catalog.models[ModelKind.REALTIME].offers(found):
        return f"{name!r} is a realtime model, and this engine is a pipeline"
    if kind is ModelKind.REALTIME and catalog.models[ModelKind.LLM].offers(found):
        return f"{name!r} is a pipeline's model, and this engine is realtime"
    return f"the model {name!r} is not in the catalog"


def _check_speech(
    text: str, kind: ModelKind, catalog: Catalog, field: str
) -> Sequence[ConfigWarning]:
    models = catalog.models[kind]
    found = parse_descriptor(text, field)
    provider = models.provider(found.provider)
    if provider is None:
        raise InvalidInput(
            f"the provider {found.provider[:100]!r} is not in the catalog of {kind.value} models",
            field=field,
            cure=f"use a model of one of: {', '.join(one.id for one in models.providers)}",
        )
    if models.offers(found):
        return []
    return [_unlisted(found, models, kind, field)]


def _unlisted(found: Descriptor, models: ModelList, kind: ModelKind, field: str) -> ConfigWarning:
    provider = models.provider(found.provider)
    listed = ", ".join(provider.models) if provider else ""
    return ConfigWarning(
        field=field,
        reason=f"{found.name[:100]!r} is not in the catalog of {kind.value} models; it is tried",
        cure=f"listed are: {listed}",
    )
