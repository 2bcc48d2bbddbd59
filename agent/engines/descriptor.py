"""Model descriptors, `provider/model[:voice]`."""

from dataclasses import dataclass

from agent.engines.faults import EngineFault


@dataclass(frozen=True)
class Descriptor:
    """A model of a provider, with the voice it speaks in if it has one."""

    field: str
    """The configuration field it was given in, for messages."""
    provider: str
    model: str
    voice: str | None = None


def parse_descriptor(text: str, field: str) -> Descriptor:
    """Take a descriptor apart. A model's own name may contain further slashes.

    Raises:
        EngineFault: naming `field`.
    """
    provider, slash, rest = text.strip().partition("/")
    model, colon, voice = rest.partition(":")
    if not (provider and slash and model) or (colon and not voice):
        raise EngineFault(
            field,
            f"{text[:100]!r} is not a model descriptor",
            "write provider/model or provider/model:voice, for instance openai/gpt-4.1-mini",
        )
    return Descriptor(field=field, provider=provider.lower(), model=model, voice=voice or None)
