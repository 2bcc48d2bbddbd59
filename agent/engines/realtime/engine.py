"""The realtime engine: one speech-to-speech model at its provider."""

from dataclasses import dataclass, field
from operator import attrgetter
from pkgutil import resolve_name
from typing import Any
from weakref import WeakSet

from livekit.agents import APIConnectOptions, TurnHandlingOptions, llm

from agent.engines.parts import EngineFault, EngineInputs, EngineParts, Notice, parse_descriptor
from agent.engines.providers.plugins import PLUGINS, Plugin
from agent.engines.realtime.acceptance import Acceptance
from agent.engines.realtime.answering import Answering
from domain.agents.catalogs import BUILT_IN, ModelKind
from domain.agents.config import DEFAULT_REALTIME
from domain.agents.descriptors import Descriptor

CONNECTION = APIConnectOptions(max_retry=5, retry_interval=1.0, timeout=5.0)
"""Retries while an unreachable provider is contacted during a call; then the agent is abandoned."""
_SPEAKS_ITSELF = "a realtime model hears and speaks itself"
_IGNORED = {
    "engine.stt": _SPEAKS_ITSELF,
    "engine.tts": _SPEAKS_ITSELF,
    "engine.llm_fallbacks": "a realtime model has no fallback; a failed agent is replaced",
    "preemptive_generation": "a realtime model begins to answer when its provider does",
    "pronunciation_correction": _SPEAKS_ITSELF,
}
"""Fields that have no effect, and why."""
_ULTRAVOX_TURNS = "Ultravox detects the end of a turn in one way only"


@dataclass(frozen=True)
class RealtimeChoice:
    """One model with the parts of the configuration that concern it."""

    descriptor: Descriptor
    key: str = field(repr=False)
    inputs: EngineInputs
    acceptance: Acceptance

    @property
    def common(self) -> dict[str, Any]:
        """The arguments that every plugin's model takes, with the provider's default voice."""
        descriptor, engine = self.descriptor, self.inputs.config.engine
        listed = BUILT_IN.models[ModelKind.REALTIME].provider(descriptor.provider)
        default = listed.default_voice if listed else None
        voice = descriptor.voice or engine.voice or default or ""
        return {"model": descriptor.model, "voice": voice, "api_key": self.key}

    @property
    def language(self) -> str | None:
        """BCP-47 code of the language that is spoken; None to let the model find out."""
        return self.inputs.config.engine.language

    @property
    def turns_by_meaning(self) -> bool:
        """Whether the meaning of the words ends a turn, not silence alone."""
        config = self.inputs.config
        return config.turn_detection is not None or config.vad_enabled is False

    def session_seconds(self, provider_limit: float) -> float:
        """Seconds after which a connection is replaced, before the provider ends it."""
        return self.inputs.settings.everline_realtime_session_seconds or provider_limit

    def notices(self) -> tuple[Notice, ...]:
        """The fields that are set and have no effect in this call."""
        config = self.inputs.config
        ignored = {name: why for name, why in _IGNORED.items() if attrgetter(name)(config)}
        if self.descriptor.provider == "ultravox":
            if config.turn_detection:
                ignored["turn_detection"] = _ULTRAVOX_TURNS
            if config.vad_enabled is False:
                ignored["vad_enabled"] = _ULTRAVOX_TURNS
        return tuple(Notice(name, why) for name, why in ignored.items())


class WatchedModel(llm.RealtimeModel):
    """Mixed into a plugin's model: watches the acceptance and the answers of its sessions."""

    choice: RealtimeChoice
    """Set before the first session."""
    session_class: type[Any]
    _sessions: WeakSet[Any]
    """The plugin's own set of open sessions."""

    def session(self, *, turn_detection_disabled: bool = False) -> Any:
        """A session of the conversation, which the plugin connects in the background."""
        # Only the sessions of plugins that support this take the argument.
        options = {"turn_detection_disabled": True} if turn_detection_disabled else {}
        session = self.session_class(self, **options)
        self._sessions.add(session)
        choice = self.choice
        session.answering = Answering(session, choice.descriptor.provider, choice.inputs.vad)
        choice.acceptance.watch(session)
        return session


def load_realtime_plugin(inputs: EngineInputs) -> None:
    """Import the plugin that this model uses; on the main thread, before `build_realtime`.

    Raises:
        EngineFault: the descriptor is malformed or its provider unknown.
    """
    resolve_name(_chosen(inputs)[1].realtime)


def build_realtime(inputs: EngineInputs) -> EngineParts:
    """The model of `engine.llm`, which takes turns as its provider does.

    Raises:
        EngineFault: the descriptor is malformed, its provider unknown or without a key.
    """
    descriptor, plugin = _chosen(inputs)
    key = plugin.key(inputs.settings)
    if key is None:
        raise plugin.no_key("engine.llm", descriptor.provider)
    acceptance = Acceptance(descriptor)
    choice = RealtimeChoice(descriptor, key, inputs, acceptance)
    model = resolve_name(plugin.realtime)(choice)
    model.choice = choice
    return EngineParts(
        llm=model,
        turn_handling=TurnHandlingOptions(turn_detection="realtime_llm"),
        accepted=acceptance.wait,
        notices=choice.notices(),
    )


def _chosen(inputs: EngineInputs) -> tuple[Descriptor, Plugin]:
    descriptor = parse_descriptor(inputs.config.engine.llm or DEFAULT_REALTIME, "engine.llm")
    plugins = {name: plugin for name, plugin in PLUGINS.items() if plugin.realtime}
    if descriptor.provider not in plugins:
        raise EngineFault(
            "engine.llm",
            f"provider {descriptor.provider!r} has no realtime model on this agent worker",
            f"use one of: {', '.join(sorted(plugins))}",
        )
    return descriptor, plugins[descriptor.provider]
