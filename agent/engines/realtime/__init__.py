"""The realtime engine: one model that hears, thinks and speaks, at its provider."""

from pkgutil import resolve_name

from livekit.agents import TurnHandlingOptions

from agent.engines.descriptor import Descriptor, parse_descriptor
from agent.engines.faults import EngineFault
from agent.engines.parts import EngineInputs, EngineParts
from agent.engines.providers.plugins import PLUGINS, Plugin
from agent.engines.realtime.acceptance import Acceptance
from agent.engines.realtime.choice import RealtimeChoice
from domain.agents.config import DEFAULT_REALTIME

__all__ = ["build_realtime", "load_realtime_plugin"]


def load_realtime_plugin(inputs: EngineInputs) -> None:
    """Import the plugin that this model uses; on the main thread, before `build_realtime`.

    Raises:
        EngineFault: the descriptor is malformed or its provider unknown.
    """
    resolve_name(_chosen(inputs)[1].realtime)


def build_realtime(inputs: EngineInputs) -> EngineParts:
    """The model of `engine.llm`, which takes turns as its provider does.

    Raises:
        EngineFault: the descriptor is malformed, its provider unknown or without a key.
    """
    descriptor, plugin = _chosen(inputs)
    key = plugin.key(inputs.settings)
    if key is None:
        raise plugin.no_key(descriptor)
    acceptance = Acceptance(descriptor)
    choice = RealtimeChoice(descriptor, key, inputs.config, inputs.settings, inputs.vad, acceptance)
    model = resolve_name(plugin.realtime)(choice)
    model.choice = choice
    return EngineParts(
        llm=model,
        turn_handling=TurnHandlingOptions(turn_detection="realtime_llm"),
        accepted=acceptance.wait,
        notices=choice.notices(),
    )


def _chosen(inputs: EngineInputs) -> tuple[Descriptor, Plugin]:
    descriptor = parse_descriptor(inputs.config.engine.llm or DEFAULT_REALTIME, "engine.llm")
    plugins = {name: plugin for name, plugin in PLUGINS.items() if plugin.realtime}
    if descriptor.provider not in plugins:
        raise EngineFault(
            descriptor.field,
            f"provider {descriptor.provider!r} has no realtime model on this agent worker",
            f"use one of: {', '.join(sorted(plugins))}",
        )
    return descriptor, plugins[descriptor.provider]
