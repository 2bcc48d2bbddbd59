"""The catalog of models, voices and tools, and the models that an installation adds to it.

The JSON files beside this module name their source and date. To add a model or tool, add a line to
one of them: the `/config/…` routes, the validation of configurations and the console follow.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from importlib import resources
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from domain.agents.descriptors import Descriptor, parse_descriptor
from domain.errors import InvalidInput

ANY_MODEL = "*"
"""As a model's name: every model of that provider."""
EXTRA_MODELS_VARIABLE = "EVERLINE_EXTRA_MODELS"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelKind(StrEnum):
    """What a model is used for; also the name of its data file."""

    STT = "stt"
    LLM = "llm"
    TTS = "tts"
    REALTIME = "realtime"


class Provider(_Entry):
    """A provider's models of one kind."""

    id: str
    """The first part of a descriptor."""
    name: str
    source: str
    """Where the lists come from."""
    default_model: str
    models: tuple[str, ...]
    voices: tuple[str, ...] = ()
    """As a configuration names them."""
    voice_names: Mapping[str, str] = {}
    """Display names, for voices whose ids do not tell them."""
    default_voice: str | None = None
    custom_voices: bool = False
    """Whether unlisted voices work as well, such as an account's own."""

    def offers(self, model: str) -> bool:
        """Whether the provider has this model."""
        return model in self.models or ANY_MODEL in self.models

    def voice(self, name: str) -> str | None:
        """The listed voice with this name, in the provider's spelling."""
        return next((voice for voice in self.voices if voice.lower() == name.lower()), None)

    def voice_id(self, name: str) -> str | None:
        """The id of the listed voice with this display name."""
        names = self.voice_names.items()
        return next((voice for voice, known in names if known.lower() == name.lower()), None)


class ModelList(_Entry):
    """All models of one kind, as one data file."""

    source: str
    date: date
    """When the source was read."""
    providers: tuple[Provider, ...]
    refused: Mapping[str, str] = {}
    """Listed models that are refused, each with the reason."""

    def provider(self, provider_id: str) -> Provider | None:
        """The provider with this id."""
        return next((one for one in self.providers if one.id == provider_id), None)

    def offers(self, descriptor: Descriptor) -> bool:
        """Whether the model is listed."""
        provider = self.provider(descriptor.provider)
        return provider is not None and provider.offers(descriptor.model)

    def names(self) -> list[str]:
        """The descriptors of all models, for error messages."""
        return [f"{one.id}/{model}" for one in self.providers for model in one.models]

    def provider_of_voice(self, voice: str) -> Provider | None:
        """The first provider that lists a voice with this name."""
        return next((one for one in self.providers if one.voice(voice)), None)


class Tool(_Entry):
    """A tool that a configuration can name in `tools`."""

    id: str
    name: str
    description: str
    configured_by: tuple[str, ...] = ()
    """The configuration fields that it uses."""


class ToolList(_Entry):
    """All tools, as one data file."""

    source: str
    date: date
    tools: tuple[Tool, ...]


@dataclass(frozen=True)
class Catalog:
    """Models of every kind, and the tools."""

    models: Mapping[ModelKind, ModelList]
    tools: ToolList

    def tool_ids(self) -> frozenset[str]:
        """The ids that `tools` may name."""
        return frozenset(tool.id for tool in self.tools.tools)


class ExtraModel(NamedTuple):
    """A model that an installation adds to the catalog."""

    kind: ModelKind
    provider: str
    model: str
    """`*` for every model of the provider."""


def parse_extra_models(text: str) -> tuple[ExtraModel, ...]:
    """Parse comma-separated `[kind=]provider/model` entries; the default kind is `llm`.

    Raises:
        InvalidInput: naming the wrong entry.
    """
    entries = (entry.strip() for entry in text.split(","))
    return tuple(_extra(entry) for entry in entries if entry)


def _extra(entry: str) -> ExtraModel:
    kind, separator, name = entry.rpartition("=")
    cure = "write provider/model, or stt=, tts=, llm= or realtime= before it; provider/* for all"
    if separator and kind not in set(ModelKind):
        raise InvalidInput(
            f"{kind!r} in {entry!r} is not a kind of model", field=EXTRA_MODELS_VARIABLE, cure=cure
        )
    found = parse_descriptor(name, EXTRA_MODELS_VARIABLE, cure)
    return ExtraModel(ModelKind(kind or "llm"), found.provider, found.model)


def extended(catalog: Catalog, extra: Iterable[ExtraModel]) -> Catalog:
    """The catalog with further models, and with the providers that they need."""
    models = dict(catalog.models)
    for one in extra:
        models[one.kind] = _with_model(models[one.kind], one)
    return Catalog(models, catalog.tools)


def _with_model(models: ModelList, extra: ExtraModel) -> ModelList:
    providers = {one.id: one for one in models.providers}
    known = providers.get(extra.provider) or Provider(
        id=extra.provider,
        name=extra.provider,
        source=EXTRA_MODELS_VARIABLE,
        default_model=extra.model,
        models=(),
    )
    if extra.model in known.models:
        return models
    # A server with further models under a provider's name may have further voices as well.
    providers[known.id] = known.model_copy(
        update={"models": (*known.models, extra.model), "custom_voices": True}
    )
    return models.model_copy(update={"providers": tuple(providers.values())})


_FILES = resources.files("domain.agents.catalogs")
BUILT_IN = Catalog(
    models={
        kind: ModelList.model_validate_json((_FILES / f"{kind.value}.json").read_bytes())
        for kind in ModelKind
    },
    tools=ToolList.model_validate_json((_FILES / "tools.json").read_bytes()),
)
"""The catalog as shipped."""
