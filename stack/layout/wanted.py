"""The desired state of a stack: parts to leave out, and settings of single parts."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from stack.errors import StackError
from stack.layout.files import write_atomically
from stack.layout.home import Home

PART_NAMES = ("temporal", "livekit", "mongodb", "models", "api", "worker", "agent")
OUR_PARTS = ("api", "worker", "agent")


class Wanted(BaseModel):
    """The desired state; the supervisor starts and stops parts when it changes.

    Attributes:
        settings: Environment variables by part.
        revision: Counts the changes, to find out when one has been applied.
    """

    model_config = ConfigDict(extra="forbid")

    left_out: list[str] = Field(default_factory=list[str])
    settings: dict[str, dict[str, str]] = Field(default_factory=dict[str, dict[str, str]])
    revision: int = 0

    def wants(self, name: str) -> bool:
        """Tell whether a part should run."""
        return name not in self.left_out


def read_wanted(home: Home) -> Wanted:
    """Return the desired state; by default, everything runs."""
    if not home.wanted.exists():
        return Wanted()
    return Wanted.model_validate_json(home.wanted.read_text(encoding="utf-8"))


def write_wanted(home: Home, wanted: Wanted) -> None:
    """Store the desired state; the supervisor reads it at its start and on SIGUSR1."""
    write_atomically(home.wanted, wanted.model_dump_json(indent=2), private=True)


def parse_names(given: Iterable[str]) -> list[str]:
    """Parse part names, given one by one or separated by commas.

    Raises:
        StackError: A name is unknown.
    """
    names = [name.strip() for words in given for name in words.split(",") if name.strip()]
    unknown = [name for name in names if name not in PART_NAMES]
    if unknown:
        raise StackError(f"no such part: {', '.join(unknown)}. There are: {', '.join(PART_NAMES)}.")
    return [name for name in PART_NAMES if name in names]


def parse_settings(given: Iterable[str]) -> dict[str, dict[str, str]]:
    """Parse `[PART:]NAME=VALUE`; without a part it applies to api, worker and agent.

    Raises:
        StackError: A value has another form.
    """
    settings: dict[str, dict[str, str]] = {}
    for text in given:
        target, equals, value = text.partition("=")
        part, colon, name = target.rpartition(":")
        if not equals or not name.isidentifier():
            raise StackError(f"--set {text!r}: give NAME=VALUE, or PART:NAME=VALUE")
        for owner in parse_names([part]) if colon else OUR_PARTS:
            settings.setdefault(owner, {})[name] = value
    return settings
