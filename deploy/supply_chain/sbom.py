"""Writes the software bill of materials (CycloneDX) of all locked packages: `make sbom`.

The same lock files give the same file, byte by byte.
"""

import hashlib
import os
import sys
import tomllib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import cyclonedx.model as cyclonedx
from cyclonedx.model import HashAlgorithm, bom, component
from cyclonedx.model import license as licensing
from cyclonedx.model.component import ComponentScope, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from deploy.supply_chain import licences
from deploy.supply_chain.locks import GO, PYTHON, ROOT, Package, lock_files, packages

# The library's decorators hide these classes from type checkers.
Bom: Any = bom.Bom
Component: Any = component.Component
HashType: Any = cyclonedx.HashType
Property: Any = cyclonedx.Property
LicenseExpression: Any = licensing.LicenseExpression

VERSION = SchemaVersion.V1_6
RUNTIME = "requirements/base.txt"
"""What the images of API, worker and agent worker hold."""
DEVELOPMENT = frozenset({"requirements/dev.txt", "requirements/build.txt", "requirements/uv.txt"})
"""What is installed by developers and builders only."""
_PURL_TYPES = {PYTHON: "pypi", GO: "golang"}


def bill(locked: Sequence[Package], known: dict[str, str], digest: str, at: datetime) -> Any:
    """The bill of materials.

    Args:
        locked: the packages.
        known: licences by name of a Python package.
        digest: of the lock files; the same one gives the same serial number.
        at: its time.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    everline = Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        bom_ref=project["name"],
        description=project["description"],
        licenses=[LicenseExpression(project["license"])],
    )
    whole = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, digest))
    whole.metadata.component = everline
    whole.metadata.timestamp = at
    same = groupby(sorted(locked), key=lambda one: (one.ecosystem, one.name, one.version))
    for _, group in same:
        package = _component(list(group), known)
        whole.components.add(package)
        if package.scope is ComponentScope.REQUIRED:
            whole.register_dependency(everline, [package])
    return whole


def _component(same: Sequence[Package], known: dict[str, str]) -> Any:
    """One package, with the lock files that name it."""
    first, locks = same[0], {one.lock for one in same}
    licence = known.get(first.name) if first.ecosystem == PYTHON else None
    namespace, _, name = first.name.rpartition("/")
    version = first.version if first.ecosystem == PYTHON else f"v{first.version}"
    purl = PackageURL(_PURL_TYPES[first.ecosystem], namespace or None, name, version)
    return Component(
        name=first.name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        scope=_scope(locks),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one) for one in first.sha256],
        licenses=[LicenseExpression(licence)] if licence else [],
        properties=[Property(name="everline:lock-file", value=lock) for lock in locks],
    )


def _scope(locks: set[str]) -> ComponentScope:
    if RUNTIME in locks:
        return ComponentScope.REQUIRED
    return ComponentScope.EXCLUDED if locks <= DEVELOPMENT else ComponentScope.OPTIONAL


def text(at: datetime) -> str:
    """The bill of materials of this repository, as JSON."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in lock_files())).hexdigest()
    whole = bill(packages(), licences.read(), digest, at)
    return make_outputter(whole, OutputFormat.JSON, VERSION).output_as_string(indent=2)


def main() -> int:
    """Write the file that is named; returns the exit code."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    # https://reproducible-builds.org/specs/source-date-epoch
    at = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    target.write_text(f"{text(at)}\n", encoding="utf-8")
    sys.stdout.write(f"sbom: {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
