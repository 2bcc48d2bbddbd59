"""The realtime engine: one model that hears, thinks and speaks, at its provider."""

from importlib import import_module

from livekit.agents import TurnHandlingOptions

from agent.engines.descriptor import Descriptor, parse_descriptor
from agent.engines.faults import EngineFault
from agent.engines.parts import EngineInputs, EngineParts
from agent.engines.realtime.acceptance import Acceptance
from agent.engines.realtime.choice import RealtimeChoice
from agent.engines.realtime.providers import PROVIDERS, RealtimeProvider
from domain.agents.config import DEFAULT_REALTIME

__all__ = ["build_realtime", "load_realtime_plugin"]


def load_realtime_plugin(inputs: EngineInputs) -> None:
    """Import the plugin that this model uses; on the main thread, before `build_realtime`.

    Raises:
        EngineFault: the descriptor is malformed or its provider unknown.
    """
    import_module(_chosen(inputs)[1].module)


def build_realtime(inputs: EngineInputs) -> EngineParts:
    """The model of `engine.llm`, which takes turns as its provider does.

    Raises:
        EngineFault: the descriptor is malformed, its provider unknown or without a key.
    """
    descriptor, provider = _chosen(inputs)
    key = provider.key(inputs.settings)
    if key is None:
        raise EngineFault(
            descriptor.field,
            f"provider {descriptor.provider!r} has no key on this agent worker",
            f"set {provider.key_setting}",
        )
    acceptance = Acceptance(descriptor)
    choice = RealtimeChoice(descriptor, key, inputs.config, inputs.settings, inputs.vad, acceptance)
    return EngineParts(
        llm=getattr(import_module(provider.module), provider.builder)(choice),
        turn_handling=TurnHandlingOptions(turn_detection="realtime_llm"),
        accepted=acceptance.wait,
        notices=choice.notices(),
    )


def _chosen(inputs: EngineInputs) -> tuple[Descriptor, RealtimeProvider]:
    descriptor = parse_descriptor(inputs.config.engine.llm or DEFAULT_REALTIME, "engine.llm")
    provider = PROVIDERS.get(descriptor.provider)
    if provider is None:
        raise EngineFault(
            descriptor.field,
            f"provider {descriptor.provider!r} has no realtime model on this agent worker",
            f"use one of: {', '.join(sorted(PROVIDERS))}",
        )
    return descriptor, provider
