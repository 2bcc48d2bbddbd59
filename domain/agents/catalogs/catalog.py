"""The catalog of models, voices and tools."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from domain.agents.descriptors import Descriptor

ANY_MODEL = "*"
"""As a model's name: every model of that provider."""


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
    """First part of a descriptor."""
    name: str
    source: str
    """Where the lists were read."""
    default_model: str
    models: tuple[str, ...]
    voices: tuple[str, ...] = ()
    default_voice: str | None = None
    custom_voices: bool = False
    """Voices that are not listed work as well, for instance an account's own."""

    def offers(self, model: str) -> bool:
        """Whether the provider has this model."""
        return model in self.models or ANY_MODEL in self.models

    def voice(self, name: str) -> str | None:
        """The listed voice of this name, in the provider's spelling."""
        return next((voice for voice in self.voices if voice.lower() == name.lower()), None)


class ModelList(_Entry):
    """All models of one kind, as one data file."""

    source: str
    date: date
    """When the source was read."""
    providers: tuple[Provider, ...]
    refused: Mapping[str, str] = {}
    """Models that the source lists and that are refused all the same, each with the reason."""

    def provider(self, provider_id: str) -> Provider | None:
        """The provider of this id."""
        return next((one for one in self.providers if one.id == provider_id), None)

    def offers(self, descriptor: Descriptor) -> bool:
        """Whether this very model is listed."""
        provider = self.provider(descriptor.provider)
        return provider is not None and provider.offers(descriptor.model)

    def names(self) -> list[str]:
        """Every model as a descriptor, for messages."""
        return [f"{one.id}/{model}" for one in self.providers for model in one.models]

    def provider_of_voice(self, voice: str) -> Provider | None:
        """The first provider that lists a voice of this name."""
        return next((one for one in self.providers if one.voice(voice)), None)


class Tool(_Entry):
    """A tool that a configuration can name in `tools`."""

    id: str
    name: str
    description: str
    configured_by: tuple[str, ...] = ()
    """The fields of a configuration that it works with."""


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
