"""Settings of each process, read from the environment; all faults are listed at once.

docs/reference/environment.md lists every variable. Names and defaults of the older LiveKit
backend are kept.
"""

from adapters.settings.accounts import LocalKeySettings, PagosSettings
from adapters.settings.agent import AgentSettings
from adapters.settings.api import ApiSettings
from adapters.settings.base import SettingsError, load
from adapters.settings.parts import ArchiveSettings, LiveKitSettings
from adapters.settings.secrets import (
    OWN_SECRETS,
    SharedSecrets,
    derived_secrets,
    log_derived_secrets,
)
from adapters.settings.slots import SlotSettings
from adapters.settings.temporal import TemporalConnection, TemporalSettings
from adapters.settings.worker import OpenAISettings, WorkerSettings

__all__ = [
    "OWN_SECRETS",
    "AgentSettings",
    "ApiSettings",
    "ArchiveSettings",
    "LiveKitSettings",
    "LocalKeySettings",
    "OpenAISettings",
    "PagosSettings",
    "SettingsError",
    "SharedSecrets",
    "SlotSettings",
    "TemporalConnection",
    "TemporalSettings",
    "WorkerSettings",
    "derived_secrets",
    "load",
    "log_derived_secrets",
]
