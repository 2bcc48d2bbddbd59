"""Model descriptors, `provider/model[:voice]`."""

from dataclasses import dataclass

from agent.engines.faults import EngineFault
from domain.agents import descriptors
from domain.errors import InvalidInput


@dataclass(frozen=True)
class Descriptor:
    """A model of a provider, with the voice it speaks in if it has one."""

    field: str
    """The configuration field it was given in, for messages."""
    provider: str
    model: str
    voice: str | None = None

    @property
    def name(self) -> str:
        """`provider/model`, without the voice."""
        return f"{self.provider}/{self.model}"


def parse_descriptor(text: str, field: str) -> Descriptor:
    """Parse a descriptor, as the API does.

    Raises:
        EngineFault: naming `field`.
    """
    try:
        parsed = descriptors.parse_descriptor(text, field)
    except InvalidInput as error:
        raise EngineFault(field, error.message, error.cure or "correct it") from None
    return Descriptor(field, parsed.provider, parsed.model, parsed.voice)
