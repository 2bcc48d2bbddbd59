"""Which parts of a configuration this agent worker cannot carry out yet."""

from collections.abc import Callable, Mapping

from domain.metadata import DispatchMetadata

_NOT_CARRIED_OUT: Mapping[str, Callable[[DispatchMetadata], object]] = {
    "turn_detection": lambda config: config.turn_detection,
    "noise_cancellation": lambda config: (
        config.noise_cancellation and config.noise_cancellation.enabled
    ),
    "managed_agents": lambda config: config.managed_agents,
    "lyzr_tools": lambda config: config.lyzr_tools,
    "lyzr_rag": lambda config: config.lyzr_rag,
    "agentic_rag": lambda config: config.agentic_rag,
    "vad_enabled": lambda config: config.vad_enabled is False,
    "pronunciation_correction": lambda config: config.pronunciation_correction,
    "background_audio": lambda config: config.background_audio,
    "avatar": lambda config: config.avatar and config.avatar.enabled,
}


def without_effect(config: DispatchMetadata) -> list[str]:
    """The fields that are set and will change nothing, so that nobody looks for the fault twice."""
    return [name for name, is_set in _NOT_CARRIED_OUT.items() if is_set(config)]
