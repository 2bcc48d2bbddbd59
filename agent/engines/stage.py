"""One stage of the pipeline: its models in the order of preference."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from adapters.settings import AgentSettings
from agent.engines.descriptor import Descriptor, parse_descriptor
from agent.engines.faults import EngineFault, EngineUnavailable, Notice
from agent.engines.providers import Probe, Provider, provider_of

Model = TypeVar("Model")


@dataclass(frozen=True)
class Choice(Generic[Model]):
    """A model that could be built."""

    descriptor: Descriptor
    model: Model
    probe: Probe | None


class Stage(Generic[Model]):
    """The models of a stage that can be used, and why others cannot.

    Args:
        name: `stt`, `llm` or `tts`, as in `engine.…`.
        first: descriptor of the first choice.
        fallbacks: descriptors of the others, in order.
        build: makes a model with its provider and the voice.
        voice: that the first choice speaks in if its descriptor names none; it would be no voice
            of another provider's.
        settings: with the accounts.
    """

    def __init__(
        self,
        name: str,
        first: str,
        fallbacks: Sequence[str],
        build: Callable[[Provider, Descriptor, str | None], Model],
        voice: str | None,
        settings: AgentSettings,
    ) -> None:
        self._faults: list[EngineFault] = []
        self._away: list[EngineUnavailable] = []
        self._choices: list[Choice[Model]] = []
        fields = [f"engine.{name}"]
        fields += [f"engine.{name}_fallbacks[{index}]" for index in range(len(fallbacks))]
        for field, text in zip(fields, [first, *fallbacks], strict=True):
            own = voice if field == fields[0] else None
            try:
                descriptor = parse_descriptor(text, field)
                provider = provider_of(descriptor, name, settings)
                model = build(provider, descriptor, own)
                self._choices.append(Choice(descriptor, model, provider.probe(descriptor, own)))
            except EngineFault as fault:
                self._faults.append(fault)

    def probes(self) -> list[Probe]:
        """How to find out which of the models will be refused."""
        return [choice.probe for choice in self._choices if choice.probe is not None]

    def drop(self, found: Mapping[str, EngineFault | EngineUnavailable]) -> None:
        """Leave out the models that are refused; `found` by the field of their descriptor.

        One that cannot be reached now is kept: it may be back in the call.
        """
        left: list[Choice[Model]] = []
        for choice in self._choices:
            finding = found.get(choice.descriptor.field)
            if isinstance(finding, EngineFault):
                self._faults.append(finding)
            else:
                left.append(choice)
            if isinstance(finding, EngineUnavailable):
                self._away.append(finding)
        self._choices = left

    def models(self) -> list[Model]:
        """The models that are left, at least one.

        Raises:
            EngineFault: none is; of the first choice, or else of the first that failed.
            EngineUnavailable: none of them can be reached now; of the first.
        """
        if not self._choices:
            # The shortest field is the stage's own: `engine.stt`, not one of its fallbacks.
            raise min(self._faults, key=lambda fault: len(fault.field))
        if len(self._away) == len(self._choices):
            raise self._away[0]
        return [choice.model for choice in self._choices]

    def notices(self) -> list[Notice]:
        """Which models are left out, and what is used instead."""
        return [
            Notice(fault.field, f"{fault}; {self._choices[0].descriptor.name!r} is used")
            for fault in self._faults
        ]
