"""The providers of realtime models, by the first part of a descriptor.

Plugins must be imported on a process's main thread, and take memory: each is imported when a call
needs it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import SecretStr

from adapters.settings import AgentSettings


class RealtimeProvider(NamedTuple):
    """An official plugin: the module and the function that build its model."""

    module: str
    builder: str
    key_setting: str

    def key(self, settings: AgentSettings) -> str | None:
        """The account's key, if this agent worker has one."""
        key: SecretStr | None = getattr(settings, self.key_setting.lower())
        return None if key is None else key.get_secret_value()


_OPENAI, _GEMINI, _ULTRAVOX = (
    f"agent.engines.realtime.{name}" for name in ("openai_family", "gemini", "ultravox_calls")
)
PROVIDERS: Mapping[str, RealtimeProvider] = {
    "openai": RealtimeProvider(_OPENAI, "openai_realtime", "OPENAI_API_KEY"),
    "google": RealtimeProvider(_GEMINI, "gemini", "GOOGLE_API_KEY"),
    "xai": RealtimeProvider(_OPENAI, "xai_realtime", "XAI_API_KEY"),
    "ultravox": RealtimeProvider(_ULTRAVOX, "ultravox_realtime", "ULTRAVOX_API_KEY"),
}


def keyed_realtime_plugins(settings: AgentSettings) -> list[str]:
    """Modules that a warm process should have imported: those of the providers with a key."""
    keyed = (one.module for one in PROVIDERS.values() if one.key(settings) is not None)
    return list(dict.fromkeys(keyed))
