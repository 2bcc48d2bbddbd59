"""The pipeline engine: speech to text, a chat model, text to speech; each with its fallbacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from livekit.agents import NOT_GIVEN, TurnHandlingOptions, inference, llm, stt, tts
from livekit.agents.inference.eot.languages import LOCAL_LANGUAGES

from agent.engines.parts import EngineFault, EngineInputs, EngineParts, Notice, parse_descriptor
from agent.engines.preflight import Finding, Probe, findings
from agent.engines.providers import ModelRequest, build_model, load_plugins
from domain.agents.config import DEFAULT_LLM, DEFAULT_STT, DEFAULT_TTS, DispatchedConfig, Engine

# Runs in this process on the audio; the larger version calls LiveKit's gateway.
_DETECTOR_VERSION = "v1-mini"


@dataclass
class _Choice:
    """A model of a stage; `finding` says why it cannot be used, for good or now."""

    field: str
    name: str = ""
    model: Any = None
    probe: Probe | None = None
    finding: Finding | None = None


def load_pipeline_plugins(inputs: EngineInputs) -> None:
    """Import the plugins that this pipeline uses; on the main thread, before `build_pipeline`."""
    texts = [text for models in _descriptors(inputs.config.engine).values() for text in models]
    named = dict.fromkeys(text.strip().partition("/")[0].lower() for text in texts)
    load_plugins(named, inputs.settings)


def build_pipeline(inputs: EngineInputs) -> EngineParts:
    """The three stages by their descriptors, each with its default.

    Asks the providers whether they accept what is configured, so it may block for some seconds.

    Raises:
        EngineFault: a stage has no model that can start.
        EngineUnavailable: none of a stage's models can be reached now.
    """
    config, vad = inputs.config, inputs.vad
    stages = [
        [_choice(stage, index, text, inputs) for index, text in enumerate(texts)]
        for stage, texts in _descriptors(config.engine).items()
    ]
    for choices in stages:
        _usable(choices)
    probed = [(one, one.probe) for choices in stages for one in choices if one.probe]
    found = findings([probe for _, probe in probed])
    for (choice, _), finding in zip(probed, found, strict=True):
        choice.finding = finding
    stts, llms, voices = ([one.model for one in _usable(choices)] for choices in stages)
    speech = stts[0] if len(stts) == 1 else stt.FallbackAdapter(stts, vad=vad)
    if config.vad_enabled is False and not speech.capabilities.streaming:
        # Voice activity detection cuts the utterances here; the session itself does not use it.
        speech = stt.StreamAdapter(stt=speech, vad=vad)
    return EngineParts(
        stt=speech,
        llm=llms[0] if len(llms) == 1 else llm.FallbackAdapter(llms),
        tts=voices[0] if len(voices) == 1 else tts.FallbackAdapter(voices),
        vad=None if config.vad_enabled is False else vad,
        turn_handling=_turn_handling(config),
        notices=(*_turn_notices(config), *(one for choices in stages for one in _notices(choices))),
    )


def _descriptors(engine: Engine) -> dict[str, list[str]]:
    """The descriptors of each stage in the order of preference."""
    return {
        "stt": [engine.stt or DEFAULT_STT, *(engine.stt_fallbacks or [])],
        "llm": [engine.llm or DEFAULT_LLM, *(engine.llm_fallbacks or [])],
        "tts": [engine.tts or DEFAULT_TTS, *(engine.tts_fallbacks or [])],
    }


def _choice(stage: str, index: int, text: str, inputs: EngineInputs) -> _Choice:
    field = f"engine.{stage}_fallbacks[{index - 1}]" if index else f"engine.{stage}"
    engine = inputs.config.engine
    try:
        descriptor = parse_descriptor(text, field)
        # The engine's voice belongs to the first choice: other providers do not have it.
        voice = descriptor.voice or (engine.voice if field == "engine.tts" else None)
        request = ModelRequest(descriptor, field, stage, voice, engine.language)
        return _Choice(field, descriptor.name, *build_model(request, inputs.settings))
    except EngineFault as fault:
        return _Choice(field, finding=fault)


def _usable(choices: Sequence[_Choice]) -> list[_Choice]:
    """The models of a stage that are not refused, at least one.

    Models that cannot be reached now are kept: they may be back during the call.

    Raises:
        EngineFault: all are refused; of the first choice.
        EngineUnavailable: none of them can be reached now; of the first.
    """
    usable = [one for one in choices if not isinstance(one.finding, EngineFault)]
    first = (usable or choices)[0]
    if first.finding is not None and all(one.finding for one in usable):
        raise first.finding
    return usable


def _notices(choices: Sequence[_Choice]) -> list[Notice]:
    """Which models are left out, and what is used instead."""
    refused = [one for one in choices if isinstance(one.finding, EngineFault)]
    used = _usable(choices)[0].name
    return [Notice(one.field, f"{one.finding}; {used!r} is used") for one in refused]


def _turn_handling(config: DispatchedConfig) -> TurnHandlingOptions:
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


def _turn_notices(config: DispatchedConfig) -> list[Notice]:
    """Settings that exclude each other."""
    if config.vad_enabled is False and config.turn_detection is not None:
        reason = (
            "needs voice activity detection, which vad_enabled switches off;"
            " speech recognition says where a turn ends"
        )
        return [Notice("turn_detection", reason)]
    return []
