"""Why an engine cannot start, and how it differs from its configuration."""

from dataclasses import dataclass


class EngineFault(Exception):
    """A configuration that no attempt can start with; `field` is the wrong field or setting."""

    def __init__(self, field: str, problem: str, cure: str) -> None:
        super().__init__(f"{field}: {problem}; {cure}")
        self.field = field


@dataclass(frozen=True)
class Notice:
    """A difference from the configuration, while the call continues."""

    field: str
    """The configuration field."""
    reason: str
    """What is wrong, and what is done instead; without secrets or transcripts."""


class EngineUnavailable(Exception):
    """A provider cannot accept a session now; another attempt may succeed.

    Messages hold no secrets and no transcripts.
    """


class ProviderSilent(EngineUnavailable):
    """A provider does not answer during a call."""
