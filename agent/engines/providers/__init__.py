"""Providers of the pipeline's models, by the first part of a descriptor.

Plugins register themselves and must be imported on a process's main thread: `load_plugins` does
that, for those that a configuration uses. An idle process holds only those that have a key.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import NamedTuple, cast

from adapters.settings import AgentSettings
from agent.engines.descriptor import Descriptor
from agent.engines.faults import EngineFault
from agent.engines.providers.base import Probe, Provider

__all__ = ["PLUGINS", "Plugin", "Probe", "Provider", "keyed_plugins", "load_plugins", "provider_of"]

_HERE = "agent.engines.providers"
_INFERENCE = f"{_HERE}.inference"


class Plugin(NamedTuple):
    """An official plugin: the module that builds with it, and the stages that it has."""

    module: str
    provider: str
    key_setting: str
    stages: frozenset[str]

    def has_key(self, settings: AgentSettings) -> bool:
        """Whether this agent worker has an account at the provider."""
        return getattr(settings, self.key_setting.lower()) is not None


def _plugin(module: str, provider: str, key_setting: str, *stages: str) -> Plugin:
    return Plugin(f"{_HERE}.{module}", provider, key_setting, frozenset(stages))


PLUGINS: Mapping[str, Plugin] = {
    "openai": _plugin("openai", "OpenAi", "OPENAI_API_KEY", "stt", "llm", "tts"),
    "cartesia": _plugin("cartesia", "Cartesia", "CARTESIA_API_KEY", "stt", "tts"),
    "elevenlabs": _plugin("elevenlabs", "ElevenLabs", "ELEVEN_API_KEY", "stt", "tts"),
    "deepgram": _plugin("deepgram", "Deepgram", "DEEPGRAM_API_KEY", "stt", "tts"),
    "assemblyai": _plugin("assemblyai", "AssemblyAi", "ASSEMBLYAI_API_KEY", "stt"),
    "google": _plugin("google", "Google", "GOOGLE_API_KEY", "llm"),
    "anthropic": _plugin("anthropic", "Anthropic", "ANTHROPIC_API_KEY", "llm"),
    "groq": _plugin("groq", "Groq", "GROQ_API_KEY", "stt", "llm", "tts"),
    "xai": _plugin("xai", "Xai", "XAI_API_KEY", "stt", "llm", "tts"),
}


def keyed_plugins(settings: AgentSettings) -> list[str]:
    """Modules that a warm process should have imported: those of the providers with a key."""
    return [plugin.module for plugin in PLUGINS.values() if plugin.has_key(settings)]


def load_plugins(providers: Iterable[str], settings: AgentSettings) -> None:
    """Import what the named providers need; to be called on the main thread."""
    for name in providers:
        plugin = PLUGINS.get(name)
        if plugin is not None and plugin.has_key(settings):
            import_module(plugin.module)


def provider_of(descriptor: Descriptor, stage: str, settings: AgentSettings) -> Provider:
    """The provider's official plugin if it has a key here, LiveKit Inference otherwise.

    Args:
        descriptor: of the model.
        stage: `stt`, `llm` or `tts`.
        settings: with the keys.

    Raises:
        EngineFault: neither can be used.
    """
    plugin = PLUGINS.get(descriptor.provider)
    if plugin is not None and stage in plugin.stages and plugin.has_key(settings):
        return _make(plugin.module, plugin.provider, settings)
    if settings.inference_is_on:
        return _make(_INFERENCE, "Inference", settings)
    raise _no_way(descriptor, stage, plugin)


def _make(module: str, name: str, settings: AgentSettings) -> Provider:
    provider = cast(type[Provider], getattr(import_module(module), name))
    return provider(settings)


def _no_way(descriptor: Descriptor, stage: str, plugin: Plugin | None) -> EngineFault:
    through = "LIVEKIT_INFERENCE_API_KEY and LIVEKIT_INFERENCE_API_SECRET for LiveKit Inference"
    if plugin is not None and stage in plugin.stages:
        return EngineFault(
            descriptor.field,
            f"provider {descriptor.provider!r} has no key on this agent worker",
            f"set {plugin.key_setting}, or {through}",
        )
    known = ", ".join(sorted(name for name, one in PLUGINS.items() if stage in one.stages))
    return EngineFault(
        descriptor.field,
        f"provider {descriptor.provider!r} is not known to this agent worker for {stage}",
        f"use one of: {known}; or set {through}",
    )
