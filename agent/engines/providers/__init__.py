"""Model providers, by the first part of a descriptor.

Plugins register themselves and must be imported on a process's main thread: `load_plugins` imports
those that a configuration uses. An idle process holds only those that have a key.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from adapters.settings import AgentSettings
from agent.engines.faults import EngineFault
from agent.engines.preflight import Probe
from agent.engines.providers.inference import build_with_inference
from agent.engines.providers.plugins import PLUGINS, ModelRequest

__all__ = ["PLUGINS", "ModelRequest", "build_model", "keyed_plugins", "load_plugins"]


def keyed_plugins(settings: AgentSettings) -> list[str]:
    """Modules that a warm process should have imported: those of the providers with a key."""
    keyed = {name: plugin for name, plugin in PLUGINS.items() if plugin.key(settings)}
    realtime = (plugin.realtime.partition(":")[0] for plugin in keyed.values())
    return [*map(_module, keyed), *filter(None, dict.fromkeys(realtime))]


def load_plugins(providers: Iterable[str], settings: AgentSettings) -> None:
    """Import what the named providers need; call this on the main thread."""
    for name in providers:
        plugin = PLUGINS.get(name)
        if plugin is not None and plugin.key(settings):
            import_module(_module(name))


def build_model(request: ModelRequest, settings: AgentSettings) -> tuple[Any, Probe]:
    """The model, with the probe that shows whether it will be accepted.

    The provider's official plugin builds it if it has a key here, else LiveKit Inference.

    Raises:
        EngineFault: neither can be used.
    """
    descriptor, stage = request.descriptor, request.stage
    plugin = PLUGINS.get(descriptor.provider)
    builder = plugin.stages.get(stage) if plugin else None
    if plugin and builder and plugin.key(settings):
        request = plugin.request_with(request, settings)
        module = import_module(_module(descriptor.provider))
        return builder(module, request), plugin.probe_of(request)
    if settings.inference_is_on:
        return build_with_inference(request, settings)
    through = "LIVEKIT_INFERENCE_API_KEY and LIVEKIT_INFERENCE_API_SECRET for LiveKit Inference"
    if plugin and builder:
        raise plugin.no_key(descriptor, f", or {through}")
    known = ", ".join(sorted(name for name, one in PLUGINS.items() if stage in one.stages))
    raise EngineFault(
        descriptor.field,
        f"provider {descriptor.provider!r} is not known to this agent worker for {stage}",
        f"use one of: {known}; or set {through}",
    )


def _module(provider: str) -> str:
    return f"livekit.plugins.{provider}"
