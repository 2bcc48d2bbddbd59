"""One stage of the pipeline: its models in the order of preference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.engines.descriptor import Descriptor, parse_descriptor
from agent.engines.faults import EngineFault, EngineUnavailable, Notice
from agent.engines.parts import EngineInputs
from agent.engines.providers import ModelRequest, Probe, build_model


@dataclass(frozen=True)
class _Choice:
    descriptor: Descriptor
    model: Any
    probe: Probe


class Stage:
    """The models of a stage that can be used, and why others cannot.

    Args:
        name: `stt`, `llm` or `tts`, as in `engine.…`.
        descriptors: of its models, the first choice first.
        inputs: with the language, the voice and the accounts.
    """

    def __init__(self, name: str, descriptors: Sequence[str], inputs: EngineInputs) -> None:
        engine = inputs.config.engine
        self._faults: list[EngineFault] = []
        self._unreachable: list[EngineUnavailable] = []
        self._choices: list[_Choice] = []
        for index, text in enumerate(descriptors):
            field = f"engine.{name}_fallbacks[{index - 1}]" if index else f"engine.{name}"
            # The engine's voice belongs to the first choice: another provider does not have it.
            voice = engine.voice if name == "tts" and index == 0 else None
            try:
                descriptor = parse_descriptor(text, field)
                request = ModelRequest(descriptor, name, voice, engine.language)
                self._choices.append(_Choice(descriptor, *build_model(request, inputs.settings)))
            except EngineFault as fault:
                self._faults.append(fault)

    def probes(self) -> list[Probe]:
        """How to find out which of the models will be refused."""
        return [choice.probe for choice in self._choices]

    def drop(self, found: Mapping[str, EngineFault | EngineUnavailable]) -> None:
        """Leave out the models that are refused; `found` by the field of their descriptor.

        Models that cannot be reached now are kept: they may be back during the call.
        """
        findings = [found.get(choice.descriptor.field) for choice in self._choices]
        self._choices = [
            choice
            for choice, finding in zip(self._choices, findings, strict=True)
            if not isinstance(finding, EngineFault)
        ]
        self._faults += [one for one in findings if isinstance(one, EngineFault)]
        self._unreachable += [one for one in findings if isinstance(one, EngineUnavailable)]

    def models(self) -> list[Any]:
        """The models that are left, at least one.

        Raises:
            EngineFault: none is; of the first choice, or else of the first that failed.
            EngineUnavailable: none of them can be reached now; of the first.
        """
        if not self._choices:
            # The shortest field is the stage's own: `engine.stt`, not one of its fallbacks.
            raise min(self._faults, key=lambda fault: len(fault.field))
        if len(self._unreachable) == len(self._choices):
            raise self._unreachable[0]
        return [choice.model for choice in self._choices]

    def notices(self) -> list[Notice]:
        """Which models are left out, and what is used instead."""
        return [
            Notice(fault.field, f"{fault}; {self._choices[0].descriptor.name!r} is used")
            for fault in self._faults
        ]
