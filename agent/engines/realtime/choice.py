"""What a configuration asks of a realtime model."""

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from livekit.agents import APIConnectOptions, llm
from livekit.agents.vad import VAD

from adapters.settings import AgentSettings
from agent.engines.descriptor import Descriptor
from agent.engines.faults import Notice
from agent.engines.realtime.acceptance import Acceptance
from agent.engines.realtime.answering import Answering
from domain.agents.catalogs import BUILT_IN, ModelKind
from domain.agents.config import DispatchedConfig

CONNECTION = APIConnectOptions(max_retry=5, retry_interval=1.0, timeout=5.0)
"""Retries while an unreachable provider is contacted during a call; then the agent is abandoned."""
_SPEAKS_ITSELF = "a realtime model hears and speaks itself"
_ULTRAVOX_TURNS = "Ultravox has one way of its own to hear where a turn ends"


@dataclass(frozen=True)
class RealtimeChoice:
    """One model with the parts of the configuration that concern it."""

    descriptor: Descriptor
    key: str = field(repr=False)
    config: DispatchedConfig
    settings: AgentSettings
    vad: VAD
    """Hears whether the caller has said something that the provider must answer."""
    acceptance: Acceptance

    @property
    def common(self) -> dict[str, Any]:
        """The arguments that every plugin's model takes."""
        return {"model": self.descriptor.model, "voice": self.voice, "api_key": self.key}

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
        """Whether the meaning of the words ends a turn, and not silence alone."""
        return self.config.turn_detection is not None or self.config.vad_enabled is False

    def session_seconds(self, provider_limit: float) -> float:
        """Seconds after which a connection is replaced, before the provider ends it."""
        return self.settings.everline_realtime_session_seconds or provider_limit

    def notices(self) -> tuple[Notice, ...]:
        """The fields that are set and have no effect in this call."""
        config, engine = self.config, self.config.engine
        ultravox = self.descriptor.provider == "ultravox"
        ignored = (
            ("engine.stt", engine.stt, _SPEAKS_ITSELF),
            ("engine.tts", engine.tts, _SPEAKS_ITSELF),
            (
                "engine.llm_fallbacks",
                engine.llm_fallbacks,
                "a realtime model has no stand-in within a call; a failed agent is replaced",
            ),
            (
                "preemptive_generation",
                config.preemptive_generation,
                "a realtime model begins to answer when its provider does",
            ),
            ("pronunciation_correction", config.pronunciation_correction, _SPEAKS_ITSELF),
            ("turn_detection", ultravox and config.turn_detection, _ULTRAVOX_TURNS),
            ("vad_enabled", ultravox and config.vad_enabled is False, _ULTRAVOX_TURNS),
        )
        return tuple(Notice(name, why) for name, is_set, why in ignored if is_set)


class WatchedModel(llm.RealtimeModel):
    """Mixed into a plugin's model: watches the acceptance and the answers of its sessions."""

    choice: RealtimeChoice
    """Set before the first session."""
    session_class: type[Any]
    _sessions: WeakSet[Any]
    """The plugin's own set of open sessions."""

    def session(self, *, turn_detection_disabled: bool = False) -> Any:
        """A session of the conversation, which the plugin connects in the background."""
        # Set only for plugins that support it: the others' sessions do not take the argument.
        options = {"turn_detection_disabled": True} if turn_detection_disabled else {}
        session = self.session_class(self, **options)
        self._sessions.add(session)
        session.answering = Answering(session, self.choice.descriptor.provider, self.choice.vad)
        self.choice.acceptance.watch(session)
        return session
