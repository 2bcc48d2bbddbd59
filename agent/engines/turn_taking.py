"""Who may speak when: voice activity, end of turn, and thinking ahead."""

from typing import Any

from livekit.agents import TurnHandlingOptions, inference
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
    handling = TurnHandlingOptions(
        turn_detection=_turn_detection(config), interruption={"mode": "vad"}
    )
    if config.preemptive_generation is not None:
        handling["preemptive_generation"] = {"enabled": config.preemptive_generation}
    return handling


def _turn_detection(config: DispatchedConfig) -> Any:
    if config.vad_enabled is False:
        return "stt"
    if config.turn_detection == "multilingual":
        # Each language's own threshold, by the language that is heard.
        return inference.TurnDetector(version=_DETECTOR_VERSION)
    if config.turn_detection == "english":
        return inference.TurnDetector(
            version=_DETECTOR_VERSION, unlikely_threshold=LOCAL_LANGUAGES["en"]
        )
    return "vad"


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
