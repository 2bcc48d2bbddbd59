"""The pipeline engine: speech to text, a chat model, text to speech."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from livekit.agents import TurnHandlingOptions
from livekit.agents.llm import LLM
from livekit.agents.stt import STT
from livekit.agents.tts import TTS

from adapters.settings import AgentSettings
from agent.engines.descriptor import Descriptor, parse_descriptor
from agent.engines.faults import EngineFault
from agent.engines.openai_provider import OpenAiProvider
from agent.engines.parts import EngineInputs, EngineParts
from domain.agent_config import DEFAULT_LLM, DEFAULT_STT, DEFAULT_TTS, DispatchedConfig


class Provider(Protocol):
    """Builds a provider's models."""

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text."""
        ...

    def chat_model(self, descriptor: Descriptor) -> LLM[Any]:
        """The chat model."""
        ...

    def text_to_speech(self, descriptor: Descriptor, voice: str | None) -> TTS[Any]:
        """Text to speech; the descriptor's own voice goes first."""
        ...


PROVIDERS: Mapping[str, Callable[[AgentSettings], Provider]] = {"openai": OpenAiProvider}


def build_pipeline(inputs: EngineInputs) -> EngineParts:
    """The three stages by their descriptors, each with its default.

    Raises:
        EngineFault: a descriptor is malformed, its provider unknown or without a key.
    """
    engine = inputs.config.engine
    hearing = parse_descriptor(engine.stt or DEFAULT_STT, "engine.stt")
    thinking = parse_descriptor(engine.llm or DEFAULT_LLM, "engine.llm")
    speaking = parse_descriptor(engine.tts or DEFAULT_TTS, "engine.tts")
    return EngineParts(
        stt=_provider(hearing, inputs.settings).speech_to_text(hearing, engine.language),
        llm=_provider(thinking, inputs.settings).chat_model(thinking),
        tts=_provider(speaking, inputs.settings).text_to_speech(speaking, engine.voice),
        vad=inputs.vad,
        turn_handling=_turn_handling(inputs.config),
    )


def _provider(descriptor: Descriptor, settings: AgentSettings) -> Provider:
    make = PROVIDERS.get(descriptor.provider)
    if make is None:
        raise EngineFault(
            descriptor.field,
            f"provider {descriptor.provider!r} is not known to this agent worker",
            f"use one of: {', '.join(sorted(PROVIDERS))}",
        )
    return make(settings)


def _turn_handling(config: DispatchedConfig) -> TurnHandlingOptions:
    # Explicit, because the SDK's defaults first try LiveKit's cloud gateway.
    handling = TurnHandlingOptions(turn_detection="vad", interruption={"mode": "vad"})
    if config.preemptive_generation is not None:
        handling["preemptive_generation"] = {"enabled": config.preemptive_generation}
    return handling
