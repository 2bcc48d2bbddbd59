"""Providers of the pipeline's models, by the first part of a descriptor.

Plugins register themselves and must be imported on a process's main thread: `load_plugins` imports
those that a configuration uses. An idle process holds only those that have a key.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from adapters.settings import AgentSettings
from agent.engines.faults import EngineFault
from agent.engines.providers.inference import build_with_inference
from agent.engines.providers.plugins import PLUGINS, ModelRequest
from agent.engines.providers.probe import Probe

__all__ = ["PLUGINS", "ModelRequest", "Probe", "build_model", "keyed_plugins", "load_plugins"]


def keyed_plugins(settings: AgentSettings) -> list[str]:
    """Modules that a warm process should have imported: those of the providers with a key."""
    return [_module(name) for name, plugin in PLUGINS.items() if plugin.key(settings) is not None]


def load_plugins(providers: Iterable[str], settings: AgentSettings) -> None:
    """Import what the named providers need; call this on the main thread."""
    for name in providers:
        plugin = PLUGINS.get(name)
        if plugin is not None and plugin.key(settings) is not None:
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
    if plugin is not None and builder is not None and plugin.key(settings) is not None:
        request = plugin.request_with(request, settings)
        module = import_module(_module(descriptor.provider))
        return builder(module, request), plugin.probe_of(request)
    if settings.inference_is_on:
        return build_with_inference(request, settings)
    through = "LIVEKIT_INFERENCE_API_KEY and LIVEKIT_INFERENCE_API_SECRET for LiveKit Inference"
    if plugin is not None and builder is not None:
        raise EngineFault(
            descriptor.field,
            f"provider {descriptor.provider!r} has no key on this agent worker",
            f"set {plugin.key_setting}, or {through}",
        )
    known = ", ".join(sorted(name for name, one in PLUGINS.items() if stage in one.stages))
    raise EngineFault(
        descriptor.field,
        f"provider {descriptor.provider!r} is not known to this agent worker for {stage}",
        f"use one of: {known}; or set {through}",
    )


def _module(provider: str) -> str:
    return f"livekit.plugins.{provider}"
