"""What agents and summaries can do in this installation, as far as the API knows."""

from collections.abc import Callable
from dataclasses import dataclass


def _any_url(_: str) -> None:
    """Allow every URL."""


@dataclass(frozen=True)
class Capabilities:
    """The limits of an installation that a configuration may exceed, for warnings."""

    check_url: Callable[[str], None] = _any_url
    """Raises `InvalidInput` for a URL that the agent worker does not call."""
    analyses: bool = True
    """Whether the summariser can follow instructions, and not only choose sentences."""
    recordings: bool = True
    """Whether there is a storage for recordings."""


EVERYTHING = Capabilities()
