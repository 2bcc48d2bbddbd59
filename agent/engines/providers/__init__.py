"""Model providers, by the first part of a descriptor.

Plugins register themselves and must be imported on a process's main thread: `load_plugins` imports
those that a configuration uses. An idle process holds only those that have a key.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from importlib import import_module
from typing import Any

from livekit import api
from livekit.agents import NOT_GIVEN, inference

from adapters.settings import AgentSettings
from agent.engines.parts import EngineFault
from agent.engines.preflight import Probe
from agent.engines.providers.plugins import PLUGINS, ModelRequest

__all__ = ["PLUGINS", "ModelRequest", "build_model", "keyed_plugins", "load_plugins"]

_GATEWAY = "https://agent-gateway.livekit.cloud/v1"
_STAGING_GATEWAY = "https://agent-gateway.staging.livekit.cloud/v1"


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
        return _build_with_inference(request, settings)
    through = "LIVEKIT_INFERENCE_API_KEY and LIVEKIT_INFERENCE_API_SECRET for LiveKit Inference"
    if plugin and builder:
        raise plugin.no_key(request.config_field, descriptor.provider, f", or {through}")
    known = ", ".join(sorted(name for name, one in PLUGINS.items() if stage in one.stages))
    raise EngineFault(
        request.config_field,
        f"provider {descriptor.provider!r} is not known to this agent worker for {stage}",
        f"use one of: {known}; or set {through}",
    )


def _module(provider: str) -> str:
    return f"livekit.plugins.{provider}"


def _build_with_inference(request: ModelRequest, settings: AgentSettings) -> tuple[Any, Probe]:
    """A model of LiveKit's gateway, which has every provider's models, and its probe."""
    name, stage = request.descriptor.name, request.stage
    staging = ".staging.livekit.cloud" in settings.livekit_url
    url = settings.livekit_inference_url or (_STAGING_GATEWAY if staging else _GATEWAY)
    key = settings.livekit_inference_api_key or settings.livekit_api_key
    secret = settings.livekit_inference_api_secret or settings.livekit_api_secret
    account = {"base_url": url, "api_key": key, "api_secret": secret.get_secret_value()}
    options: dict[str, Any] = {} if stage == "llm" else {"language": request.language or NOT_GIVEN}
    if stage == "tts":
        options["voice"] = request.voice or NOT_GIVEN
    kinds: dict[str, Any] = {"stt": inference.STT, "llm": inference.LLM, "tts": inference.TTS}
    # The gateway checks the account before anything else.
    grants = api.access_token.InferenceGrants(perform=True)
    token = api.AccessToken(key, secret.get_secret_value()).with_inference_grants(grants)
    short = token.with_identity("agent").with_ttl(timedelta(minutes=1)).to_jwt()
    probe = Probe(
        request.config_field,
        "LIVEKIT_INFERENCE_API_SECRET",
        f"{re.sub('^ws', 'http', url)}/tts?model={name}",
        {"Authorization": f"Bearer {short}"},
        asked="LiveKit Inference",
    )
    return kinds[stage](name, **options, **account), probe
