"""The pipeline engine: speech to text, a chat model, text to speech; each with its fallbacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from livekit.agents import llm, stt, tts

from agent.engines.descriptor import parse_descriptor
from agent.engines.faults import EngineFault, Notice
from agent.engines.parts import EngineInputs, EngineParts
from agent.engines.preflight import Finding, Probe, findings
from agent.engines.providers import ModelRequest, build_model, load_plugins
from agent.engines.turn_taking import hearing, turn_handling, turn_notices
from domain.agents.config import DEFAULT_LLM, DEFAULT_STT, DEFAULT_TTS, Engine


@dataclass
class _Choice:
    """A model of a stage; `finding` says why it cannot be used, for good or now."""

    field: str
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
    ears, minds, voices = ([one.model for one in _usable(choices)] for choices in stages)
    heard = ears[0] if len(ears) == 1 else stt.FallbackAdapter(ears, vad=vad)
    return EngineParts(
        stt=hearing(heard, vad, config),
        llm=minds[0] if len(minds) == 1 else llm.FallbackAdapter(minds),
        tts=voices[0] if len(voices) == 1 else tts.FallbackAdapter(voices),
        vad=None if config.vad_enabled is False else vad,
        turn_handling=turn_handling(config),
        notices=(*turn_notices(config), *(one for choices in stages for one in _notices(choices))),
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
        request = ModelRequest(descriptor, stage, voice, engine.language)
        return _Choice(field, *build_model(request, inputs.settings))
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
    used = next((one.probe.descriptor.name for one in _usable(choices) if one.probe), "")
    return [Notice(one.field, f"{one.finding}; {used!r} is used") for one in refused]
