"""Model descriptors, `provider/model[:voice]`."""

from typing import NamedTuple

from domain.errors import InvalidInput


class Descriptor(NamedTuple):
    """A model of a provider, with its voice if it has one."""

    provider: str
    model: str
    voice: str | None = None

    @property
    def name(self) -> str:
        """`provider/model`, without the voice."""
        return f"{self.provider}/{self.model}"


def parse_descriptor(text: str, field: str, cure: str | None = None) -> Descriptor:
    """Parse a descriptor. A model's own name may contain further slashes.

    Raises:
        InvalidInput: naming `field`, with `cure` or a general one.
    """
    provider, slash, rest = text.strip().partition("/")
    model, colon, voice = rest.partition(":")
    if not (provider and slash and model) or (colon and not voice):
        raise InvalidInput(
            f"{text[:100]!r} is not a model descriptor",
            field=field,
            cure=cure
            or "write provider/model or provider/model:voice, for instance openai/gpt-4.1-mini",
        )
    return Descriptor(provider.lower(), model, voice or None)
