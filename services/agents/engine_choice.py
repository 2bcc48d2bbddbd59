"""Which engine a plain `model` and `voice` mean, and whether its models exist."""

from collections.abc import Iterator

from domain.agents.catalogs import ANY_MODEL, Catalog, ModelKind, Provider
from domain.agents.config import (
    DEFAULT_LLM,
    DEFAULT_REALTIME,
    DEFAULT_STT,
    DEFAULT_TTS,
    ConfigWarning,
    Engine,
    EngineKind,
)
from domain.agents.descriptors import Descriptor, parse_descriptor
from domain.agents.merging import another_engine
from domain.errors import InvalidInput
from domain.suggestions import nearest, suggestion

_USUAL = {
    ModelKind.LLM: (DEFAULT_LLM, "/config/pipeline-options"),
    ModelKind.REALTIME: (DEFAULT_REALTIME, "/config/realtime-options"),
}
"""The default model of a kind, and the route that lists the others."""


def choose_engine(
    engine: Engine, model: str | None, voice: str | None, catalog: Catalog
) -> tuple[Engine, list[ConfigWarning]]:
    """The engine changed to use `model` and `voice`, with every model named and checked.

    A voice with a provider (`cartesia/sonic-3:<id>`, `elevenlabs/<model>:<id>`) selects a pipeline;
    a bare voice (`alloy`) selects a realtime model.

    A language model must be in the catalog. For a speech model only the provider must be: the lists
    age quickly, so an unlisted model is worth a warning. So is a voice that is probably misspelt;
    any other unlisted voice is an account's own, where the provider has such.

    Raises:
        InvalidInput: naming the field, and the values that it may have.
    """
    if voice and "/" in voice:
        # The engine's own voice would be another provider's.
        engine = another_engine(engine, kind=EngineKind.PIPELINE, tts=voice, voice=None)
    elif voice:
        engine = another_engine(engine, kind=EngineKind.REALTIME, voice=voice)
    if model:
        engine = another_engine(engine, llm=model)
    llm_field = "model" if model else "engine.llm"
    if engine.kind is EngineKind.REALTIME:
        return _realtime(engine, catalog, llm_field, "voice" if voice else "engine.voice")
    return _pipeline(engine, catalog, llm_field, "voice" if voice else "engine.tts")


def resolved_voice(engine: Engine) -> str | None:
    """The voice that will be heard: a realtime model's own, or the pipeline's TTS descriptor."""
    return engine.voice if engine.kind is EngineKind.REALTIME else engine.tts


def _realtime(
    engine: Engine, catalog: Catalog, llm_field: str, voice_field: str
) -> tuple[Engine, list[ConfigWarning]]:
    models = catalog.models[ModelKind.REALTIME]
    llm = engine.llm or DEFAULT_REALTIME
    speaking = models.provider_of_voice(engine.voice) if engine.voice else None
    # A voice without a model selects the default model of its provider.
    if not engine.llm and speaking and not llm.startswith(f"{speaking.id}/"):
        llm = f"{speaking.id}/{speaking.default_model}"
    model = _check_llm(llm, ModelKind.REALTIME, catalog, llm_field)
    engine = engine.model_copy(update={"llm": llm})
    provider = models.provider(model.provider)
    if engine.voice is None or provider is None:
        return engine, []
    voice = provider.voice(engine.voice)
    if voice is None and not provider.custom_voices:
        raise InvalidInput(
            f"{model.name} has no voice {engine.voice[:100]!r}",
            field=voice_field,
            cure=suggestion(engine.voice, provider.voices),
        )
    engine = engine.model_copy(update={"voice": voice or engine.voice})
    return engine, list(_check_voice(engine.voice, provider, voice_field))


def _pipeline(
    engine: Engine, catalog: Catalog, llm_field: str, voice_field: str
) -> tuple[Engine, list[ConfigWarning]]:
    stt, llm, tts = engine.stt or DEFAULT_STT, engine.llm or DEFAULT_LLM, engine.tts or DEFAULT_TTS
    _check_llm(llm, ModelKind.LLM, catalog, llm_field)
    for field, text in _fallbacks("llm", engine.llm_fallbacks):
        _check_llm(text, ModelKind.LLM, catalog, field)
    warnings: list[ConfigWarning] = []
    for field, text in [("engine.stt", stt), *_fallbacks("stt", engine.stt_fallbacks)]:
        warnings += _check_speech(text, ModelKind.STT, catalog, field)
    for field, text in [(voice_field, tts), *_fallbacks("tts", engine.tts_fallbacks)]:
        warnings += _check_speech(text, ModelKind.TTS, catalog, field)
        found = parse_descriptor(text, field)
        # The engine's voice belongs to the first choice.
        own = engine.voice if text == tts else None
        provider = catalog.models[ModelKind.TTS].provider(found.provider)
        place = field if found.voice else "engine.voice"
        warnings += _check_voice(found.voice or own, provider, place)
    return engine.model_copy(update={"stt": stt, "llm": llm, "tts": tts}), warnings


def _fallbacks(stage: str, texts: list[str] | None) -> list[tuple[str, str]]:
    return [(f"engine.{stage}_fallbacks[{index}]", text) for index, text in enumerate(texts or [])]


def _check_llm(text: str, kind: ModelKind, catalog: Catalog, field: str) -> Descriptor:
    models = catalog.models[kind]
    usual, options = _USUAL[kind]
    all_of_them = f"GET {options} lists all"
    near = _similar_model(text, models.names())
    further = f"the default is {usual}; {all_of_them}"
    cure = f"did you mean {near}? {further}" if near else further
    found = parse_descriptor(text, field, cure)
    name = found.name[:100]
    if found.name in models.refused:
        reason = f"the model {name!r} is refused: {models.refused[found.name]}"
        cure = f"use {near or usual}; {further}"
    elif models.offers(found):
        return found
    elif kind is ModelKind.LLM and catalog.models[ModelKind.REALTIME].offers(found):
        reason = f"{name!r} is a realtime model, and this engine is a pipeline"
        cure = f"use a pipeline model such as {usual}; {all_of_them}"
    elif kind is ModelKind.REALTIME and catalog.models[ModelKind.LLM].offers(found):
        reason = f"{name!r} is a pipeline model, and this engine is realtime"
        cure = f"use a realtime model such as {usual}; {all_of_them}"
    else:
        reason = f"the model {name!r} is not in the catalog"
    raise InvalidInput(reason, field=field, cure=cure)


def _similar_model(text: str, names: list[str]) -> str | None:
    """The most similar descriptor; the provider may be missing."""
    names = [name for name in names if not name.endswith(f"/{ANY_MODEL}")]
    if "/" in text:
        return nearest(text, names)
    by_model = {name.partition("/")[2]: name for name in reversed(names)}
    near = nearest(text, by_model)
    return near and by_model[near]


def _check_speech(
    text: str, kind: ModelKind, catalog: Catalog, field: str
) -> Iterator[ConfigWarning]:
    models = catalog.models[kind]
    found = parse_descriptor(text, field)
    provider = models.provider(found.provider)
    if provider is None:
        raise InvalidInput(
            f"the provider {found.provider[:100]!r} is not in the catalog of {kind.value} models",
            field=field,
            cure=suggestion(found.provider, [one.id for one in models.providers]),
        )
    if not provider.offers(found.model):
        name = found.name[:100]
        yield ConfigWarning(
            field=field,
            reason=f"{name!r} is not in the catalog of {kind.value} models; it is tried",
            cure=suggestion(
                found.model, provider.models, f"listed are: {', '.join(provider.models)}"
            ),
        )


def _check_voice(
    voice: str | None, provider: Provider | None, field: str
) -> Iterator[ConfigWarning]:
    """Warn of a voice that the provider probably does not have."""
    if voice is None or provider is None or not provider.voices:
        return
    if voice_id := provider.voice_id(voice):
        yield ConfigWarning(
            field=field,
            reason=f"{voice!r} is the name of a voice of {provider.name}, not its id; it is tried",
            cure=f"write {voice_id}",
        )
    elif _is_doubtful(voice, provider):
        yield ConfigWarning(
            field=field,
            reason=f"{provider.name} has no listed voice {voice[:100]!r}; it is tried",
            cure=suggestion(voice, provider.voices),
        )


def _is_doubtful(voice: str, provider: Provider) -> bool:
    """Whether a voice is neither listed nor, as far as one can tell, an account's own."""
    listed = provider.voice(voice)
    if listed or not provider.custom_voices:
        return listed != voice
    names = _names(provider)
    # Deepgram's `aura-2-thalia-en` is the listed `thalia`.
    if any(name.lower() in voice.lower() for name in names):
        return False
    return nearest(voice, names) is not None


def _names(provider: Provider) -> list[str]:
    """The listed voices whose ids are names; nobody misspells the others."""
    return [voice for voice in provider.voices if voice not in provider.voice_names]
