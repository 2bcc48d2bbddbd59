"""Who may speak when: voice activity, end of turn, and thinking ahead."""

from typing import Any

from livekit.agents import NOT_GIVEN, TurnHandlingOptions, inference
from livekit.agents.inference.eot.languages import LOCAL_LANGUAGES
from livekit.agents.stt import STT, StreamAdapter
from livekit.agents.vad import VAD

from agent.engines.faults import Notice
from domain.agents.config import DispatchedConfig

# Runs in this process on the audio; the larger version calls LiveKit's gateway.
_DETECTOR_VERSION = "v1-mini"


def turn_handling(config: DispatchedConfig) -> TurnHandlingOptions:
    """How the session detects the end of the caller's turn.

    Everything is explicit, because the SDK's defaults first try LiveKit's cloud gateway.
    """
    detection: Any = "stt" if config.vad_enabled is False else "vad"
    if detection == "vad" and config.turn_detection in ("multilingual", "english"):
        # `multilingual` applies each language's own threshold, by the language that is heard.
        english = LOCAL_LANGUAGES["en"] if config.turn_detection == "english" else NOT_GIVEN
        detection = inference.TurnDetector(version=_DETECTOR_VERSION, unlikely_threshold=english)
    handling = TurnHandlingOptions(turn_detection=detection, interruption={"mode": "vad"})
    if config.preemptive_generation is not None:
        handling["preemptive_generation"] = {"enabled": config.preemptive_generation}
    return handling


def hearing(stt: STT[Any], vad: VAD, config: DispatchedConfig) -> STT[Any]:
    """The session's stt; without voice activity detection it has to stream by itself."""
    if config.vad_enabled is False and not stt.capabilities.streaming:
        # The detector cuts the utterances here; the session itself does not use it.
        return StreamAdapter(stt=stt, vad=vad)
    return stt


def turn_notices(config: DispatchedConfig) -> list[Notice]:
    """Settings that exclude each other."""
    if config.vad_enabled is False and config.turn_detection is not None:
        reason = (
            "needs voice activity detection, which vad_enabled switches off;"
            " speech recognition says where a turn ends"
        )
        return [Notice("turn_detection", reason)]
    return []
