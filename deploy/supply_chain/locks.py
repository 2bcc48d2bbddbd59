"""The lock files: every package that is installed or built, in its exact version."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYTHON, GO = "PyPI", "Go"
"""Ecosystems, by their names in OSV."""


class LockError(Exception):
    """A lock file does not pin a package to one version with hashes."""


@dataclass(frozen=True, order=True)
class Package:
    """One version of a package.

    Attributes:
        lock: the lock file that names it, relative to the repository.
        sha256: of its files, in hex; none for Go, whose hashes are of another kind.
    """

    ecosystem: str
    name: str
    version: str
    lock: str
    sha256: tuple[str, ...] = ()


def lock_files(root: Path = ROOT) -> list[Path]:
    """All lock files of the repository."""
    go = (root / "stack/binaries").glob("*/go.mod")
    return sorted([*(root / "requirements").glob("*.txt"), *go])


def packages(root: Path = ROOT) -> list[Package]:
    """Every locked package; more than once if several lock files name it.

    Raises:
        LockError: naming the line.
    """
    found: list[Package] = []
    for path in lock_files(root):
        text, lock = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
        read = _python(text, lock) if path.suffix == ".txt" else _go(text, lock)
        found.extend(read)
    return sorted(found)


def unique(found: Iterable[Package]) -> list[tuple[str, str, str]]:
    """Ecosystem, name and version of packages, each once."""
    return sorted({(one.ecosystem, one.name, one.version) for one in found})


def _python(text: str, lock: str) -> Iterator[Package]:
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        named, *hashes = re.split(r"\s*--hash=sha256:", line)
        requirement = Requirement(named)
        versions = [one.version for one in requirement.specifier if one.operator == "=="]
        if len(versions) != 1 or not hashes:
            raise LockError(f"{lock}: {named!r} is not one version with hashes; run make lock")
        name = canonicalize_name(requirement.name)
        yield Package(PYTHON, name, versions[0], lock, tuple(sorted(one.strip() for one in hashes)))


def _go(text: str, lock: str) -> Iterator[Package]:
    """The modules of a go.mod, which lists indirect ones too."""
    blocks = re.findall(r"^require \((.*?)^\)|^require (\S+ \S+)", text, re.DOTALL | re.MULTILINE)
    for line in "\n".join(block or single for block, single in blocks).splitlines():
        if words := line.split("//")[0].split():
            yield Package(GO, words[0], words[1].removeprefix("v"), lock)
