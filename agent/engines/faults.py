"""Why an engine cannot start, and what it does otherwise than it was told."""

from dataclasses import dataclass


class EngineFault(Exception):
    """A configuration that no attempt can start with.

    Attributes:
        field: the configuration field or setting that is wrong.
    """

    def __init__(self, field: str, problem: str, cure: str) -> None:
        super().__init__(f"{field}: {problem}; {cure}")
        self.field = field


@dataclass(frozen=True)
class Notice:
    """Something that is done otherwise than configured, while the call goes on."""

    field: str
    """The configuration field."""
    reason: str
    """What is wrong, and what is done instead; without secrets and without spoken words."""


class EngineUnavailable(Exception):
    """A provider that cannot take a session now; another attempt may succeed.

    Its message is without secrets and without spoken words.
    """


class ProviderSilent(EngineUnavailable):
    """A provider that owes an answer in mid-call and gives no sign."""
