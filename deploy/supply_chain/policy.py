"""What is accepted: licences, and advisories that need no new version."""

import tomllib
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict

FILE = Path(__file__).with_name("policy.toml")


class LicenceException(BaseModel):
    """A package whose licence is not in the list, and why it may be used."""

    licence: str
    reason: str


class Accepted(BaseModel):
    """An advisory that does not concern Everline's use of the package."""

    id: str
    reason: str
    until: date
    """When to think about it again."""


class Policy(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")

    licences: list[str]
    """SPDX ids that may be combined with Apache-2.0."""
    known: dict[str, str] = {}
    """Licences of packages that do not say theirs in a form that a program can read, by name."""
    exceptions: dict[str, LicenceException] = {}
    accepted: list[Accepted] = []
    warn_after_days: int


def load(path: Path = FILE) -> Policy:
    """The committed policy."""
    return Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
