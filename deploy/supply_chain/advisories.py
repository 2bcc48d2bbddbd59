"""Security advisories in OSV's format, and which packages they concern.

The format: https://ossf.github.io/osv-schema
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field

from deploy.supply_chain.locks import GO, Package

FILE = Path(__file__).with_name("advisories.json")


class OsvPackage(BaseModel):
    """A package as an advisory names it."""

    ecosystem: str
    name: str


class OsvRange(BaseModel):
    """Versions from each `introduced` up to the next `fixed`, or `last_affected`."""

    type: str
    events: list[dict[str, str]]


class OsvAffected(BaseModel):
    """The versions of one package that an advisory concerns."""

    package: OsvPackage
    ranges: list[OsvRange] = []
    versions: list[str] = []


class Advisory(BaseModel):
    """One advisory; fields that are not used here are left out."""

    model_config = ConfigDict(extra="ignore")

    id: str
    modified: str
    summary: str = ""
    aliases: list[str] = []
    withdrawn: str | None = None
    affected: list[OsvAffected] = []

    def concerns(self, package: Package) -> bool:
        """Whether this version of the package is affected."""
        if self.withdrawn:
            return False
        return any(_is_in(one, package) for one in self.affected)


class Database(BaseModel):
    """The committed advisories."""

    refreshed: date | None
    """When OSV was asked; null for a list that was entered by hand."""
    source: str
    asked: dict[str, list[str]] = Field(default_factory=dict[str, list[str]])
    """Names of the packages that OSV was asked about, by ecosystem."""
    advisories: list[Advisory]


def load(path: Path = FILE) -> Database:
    """The committed advisories."""
    return Database.model_validate_json(path.read_bytes())


@dataclass(frozen=True)
class Finding:
    """A locked package that an advisory concerns."""

    package: Package
    advisory: Advisory

    @property
    def names(self) -> set[str]:
        """The advisory's id and its other ids."""
        return {self.advisory.id, *self.advisory.aliases}

    def __str__(self) -> str:
        """One line that says what to do."""
        one = self.package
        fixed = fixed_in(self.advisory, one)
        return (
            f"{one.name} {one.version} ({one.lock}): {', '.join(sorted(self.names))}"
            f" {self.advisory.summary}".rstrip()
            + (f"; fixed in {', '.join(fixed)}" if fixed else "; no version is fixed")
        )


def findings(packages: Iterable[Package], advisories: Sequence[Advisory]) -> list[Finding]:
    """The locked packages that advisories concern."""
    return [
        Finding(package, advisory)
        for package in packages
        for advisory in advisories
        if advisory.concerns(package)
    ]


def fixed_in(advisory: Advisory, package: Package) -> list[str]:
    """The versions that fix the package."""
    return [
        event["fixed"]
        for one in advisory.affected
        if one.package.name == package.name
        for each in one.ranges
        if each.type != "GIT"
        for event in each.events
        if "fixed" in event
    ]


def _is_in(affected: OsvAffected, package: Package) -> bool:
    given = (affected.package.ecosystem, affected.package.name)
    if given != (package.ecosystem, package.name):
        return False
    key = _KEYS.get(package.ecosystem, _python_key)
    wanted = key(package.version)
    if any(key(version) == wanted for version in affected.versions):
        return True
    return any(
        _is_in_range(one.events, wanted, key) for one in affected.ranges if one.type != "GIT"
    )


def _is_in_range(
    events: Sequence[Mapping[str, str]], wanted: Any, key: Callable[[str], Any]
) -> bool:
    """Whether the last event up to a version says that it is affected."""

    def rank(event: Mapping[str, str]) -> tuple[Any, int]:
        [(kind, version)] = event.items()
        at = key(version)
        # A version is introduced before it is the last affected one.
        return (at, ("fixed", "introduced", "last_affected").index(kind))

    is_affected = False
    for event in sorted((one for one in events if "limit" not in one), key=rank):
        [(kind, version)] = event.items()
        at = key(version)
        if kind == "introduced" and at <= wanted:
            is_affected = True
        elif (kind == "fixed" and at <= wanted) or (kind == "last_affected" and at < wanted):
            is_affected = False
    return is_affected


def _python_key(version: str) -> Version:
    try:
        return Version(version)
    except InvalidVersion:
        # Of before PEP 440; no locked version is one.
        return Version("0.dev0")


def _go_key(version: str) -> tuple[Any, ...]:
    """Semantic versioning's order; a pre-release comes before its release."""
    core, _, pre = version.removeprefix("v").partition("+")[0].partition("-")
    numbers = tuple(int(part) for part in re.findall(r"\d+", core)[:3])
    parts = tuple((0, int(one), "") if one.isdecimal() else (1, 0, one) for one in pre.split("."))
    return (*numbers, *(0,) * (3 - len(numbers)), *((0, parts) if pre else (1, ())))


_KEYS: Mapping[str, Callable[[str], Any]] = {GO: _go_key}
"""How the versions of an ecosystem are compared, if not as Python's."""
