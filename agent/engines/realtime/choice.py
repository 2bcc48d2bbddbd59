"""What a configuration asks of a realtime model."""

from dataclasses import dataclass, field

from livekit.agents import APIConnectOptions
from livekit.agents.vad import VAD

from adapters.settings import AgentSettings
from agent.engines.descriptor import Descriptor
from domain.agents.catalogs import BUILT_IN, ModelKind
from domain.agents.config import DispatchedConfig

CONNECTION = APIConnectOptions(max_retry=5, retry_interval=1.0, timeout=5.0)
"""How an unreachable provider is tried again in mid-call, before the agent is given up."""


@dataclass(frozen=True)
class RealtimeChoice:
    """One model with the parts of the configuration that concern it."""

    descriptor: Descriptor
    key: str = field(repr=False)
    config: DispatchedConfig
    settings: AgentSettings
    vad: VAD
    """Hears whether the caller has said something that the provider owes an answer to."""

    @property
    def voice(self) -> str:
        """The voice to speak in: the descriptor's own, the engine's, or the provider's default."""
        listed = BUILT_IN.models[ModelKind.REALTIME].provider(self.descriptor.provider)
        default = listed.default_voice if listed else None
        return self.descriptor.voice or self.config.engine.voice or default or ""

    @property
    def language(self) -> str | None:
        """BCP-47 code of the language that is spoken; None to let the model find out."""
        return self.config.engine.language

    @property
    def turns_by_meaning(self) -> bool:
        """Whether what is said decides that a turn is over, and not silence alone."""
        return self.config.turn_detection is not None or self.config.vad_enabled is False

    def session_seconds(self, provider_limit: float) -> float:
        """Seconds after which a connection is replaced, so that the provider does not end it."""
        return self.settings.everline_realtime_session_seconds or provider_limit
