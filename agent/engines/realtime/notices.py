"""What of a configuration a realtime model cannot follow."""

from agent.engines.faults import Notice
from agent.engines.realtime.choice import RealtimeChoice

_ITSELF = "a realtime model hears and speaks itself"


def notices(choice: RealtimeChoice) -> tuple[Notice, ...]:
    """The fields that are set and change nothing in this call."""
    config, provider = choice.config, choice.descriptor.provider
    engine = config.engine
    ignored = {
        "engine.stt": (engine.stt, _ITSELF),
        "engine.tts": (engine.tts, _ITSELF),
        "engine.llm_fallbacks": (
            engine.llm_fallbacks,
            "a realtime model has no stand-in within a call; a failed agent is replaced",
        ),
        "preemptive_generation": (
            config.preemptive_generation,
            "a realtime model begins to answer when its provider does",
        ),
        "pronunciation_correction": (config.pronunciation_correction, _ITSELF),
        "turn_detection": (
            provider == "ultravox" and config.turn_detection,
            "Ultravox has one way of its own to hear where a turn ends",
        ),
        "vad_enabled": (
            provider == "ultravox" and config.vad_enabled is False,
            "Ultravox has one way of its own to hear where a turn ends",
        ),
    }
    return tuple(Notice(name, why) for name, (is_set, why) in ignored.items() if is_set)
