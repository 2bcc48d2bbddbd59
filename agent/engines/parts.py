"""The inputs and the parts of an engine."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import TurnHandlingOptions
from livekit.agents.llm import LLM, RealtimeModel
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.agents.vad import VAD

from adapters.settings import AgentSettings
from agent.engines.faults import Notice
from domain.agents.config import DispatchedConfig


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
    """None for a realtime model, which hears and speaks itself."""
    tts: TTS[Any] | None = None
    vad: VAD | None = None
    accepted: Callable[[], Awaitable[None]] | None = None
    """Waits until the provider has accepted the started session; raises `EngineFault` or
    `EngineUnavailable` if it does not. None if there is nothing to wait for."""
    notices: tuple[Notice, ...] = ()
    """Differences from the configuration, for instance a fallback."""
