"""What an engine takes, what it gives, and why it cannot start."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import TurnHandlingOptions
from livekit.agents.llm import LLM, RealtimeModel
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.agents.vad import VAD

from adapters.settings import AgentSettings
from domain.agents import descriptors
from domain.agents.config import DispatchedConfig
from domain.errors import InvalidInput


class EngineFault(Exception):
    """A configuration that no attempt can start with; `field` is the wrong field or setting."""

    def __init__(self, field: str, problem: str, cure: str) -> None:
        super().__init__(f"{field}: {problem}; {cure}")
        self.field = field


@dataclass(frozen=True)
class Notice:
    """A difference from the configuration, while the call continues."""

    field: str
    """The configuration field."""
    reason: str
    """What is wrong, and what is done instead; without secrets or transcripts."""


class EngineUnavailable(Exception):
    """A provider cannot accept a session now; another attempt may succeed.

    Messages hold no secrets and no transcripts.
    """


class ProviderSilent(EngineUnavailable):
    """A provider does not answer during a call."""


def parse_descriptor(text: str, field: str) -> descriptors.Descriptor:
    """Parse a model descriptor, `provider/model[:voice]`, as the API does.

    Raises:
        EngineFault: naming `field`.
    """
    try:
        return descriptors.parse_descriptor(text, field)
    except InvalidInput as error:
        raise EngineFault(field, error.message, error.cure or "correct it") from None


@dataclass(frozen=True)
class EngineInputs:
    """What a builder may use."""

    config: DispatchedConfig
    settings: AgentSettings
    vad: VAD
    """Loaded when the process was warmed up; shared by its sessions."""


@dataclass(frozen=True)
class EngineParts:
    """The arguments that make an `AgentSession` of this engine."""

    llm: LLM[Any] | RealtimeModel
    turn_handling: TurnHandlingOptions
    stt: STT[Any] | None = None
    """None for a realtime model, which takes and returns speech itself."""
    tts: TTS[Any] | None = None
    vad: VAD | None = None
    accepted: Callable[[], Awaitable[None]] | None = None
    """Waits until the provider has accepted the started session; raises `EngineFault` or
    `EngineUnavailable` if it does not. None if there is nothing to wait for."""
    notices: tuple[Notice, ...] = ()
    """Differences from the configuration, for instance a fallback."""
