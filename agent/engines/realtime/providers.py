"""The providers of realtime models, by the first part of a descriptor.

Plugins must be imported on a process's main thread, and take memory: each is imported when a call
needs it.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

from pydantic import SecretStr

from adapters.settings import AgentSettings

_HERE = "agent.engines.realtime"


class RealtimeProvider(NamedTuple):
    """An official plugin: the module and the function that build its model."""

    module: str
    builder: str
    key_setting: str

    def load(self) -> None:
        """Import the plugin; to be called on the main thread."""
        import_module(self.module)

    def key(self, settings: AgentSettings) -> str | None:
        """The account's key, if this agent worker has one."""
        key: SecretStr | None = getattr(settings, self.key_setting.lower())
        return None if key is None else key.get_secret_value()


PROVIDERS: Mapping[str, RealtimeProvider] = {
    "openai": RealtimeProvider(f"{_HERE}.openai_family", "openai_realtime", "OPENAI_API_KEY"),
    "google": RealtimeProvider(f"{_HERE}.gemini", "gemini", "GOOGLE_API_KEY"),
    "xai": RealtimeProvider(f"{_HERE}.openai_family", "xai_realtime", "XAI_API_KEY"),
    "ultravox": RealtimeProvider(
        f"{_HERE}.ultravox_calls", "ultravox_realtime", "ULTRAVOX_API_KEY"
    ),
}


def keyed_realtime_plugins(settings: AgentSettings) -> list[str]:
    """Modules that a warm process should have imported: those of the providers with a key."""
    keyed = (one.module for one in PROVIDERS.values() if one.key(settings) is not None)
    return list(dict.fromkeys(keyed))
