"""Compare the licences of all locked packages with what may be combined with Apache-2.0.

`licences.json` has the licence of each locked package as an SPDX expression. This check, part of
`make check`, also compares it with what the installed packages say of themselves. `--write` makes
the file again.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from license_expression import ExpressionError, get_spdx_licensing

from deploy.supply_chain import policy
from deploy.supply_chain.locks import PYTHON, packages
from deploy.supply_chain.policy import Policy

FILE = Path(__file__).with_name("licences.json")
_OSI = "License :: OSI Approved :: "
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}
"""SPDX ids of the classifiers of packages that give no expression."""
_SPDX: Any = get_spdx_licensing()


def of_installed(name: str) -> str | None:
    """The licence that an installed package states; None if it does not, or is not installed."""
    try:
        about: Any = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    for field in ("License-Expression", "License"):
        stated = about.get(field)
        if stated and (expression := _expression(stated)):
            return expression
    classified = [each.removeprefix(_OSI) for each in about.get_all("Classifier") or ()]
    found = sorted({CLASSIFIERS[each] for each in classified if each in CLASSIFIERS})
    return " OR ".join(found) or None


def _expression(stated: str) -> str | None:
    """The text as an SPDX expression, if it is one."""
    if len(stated) > 200:
        return None  # the text of the licence itself
    try:
        parsed = _SPDX.parse(stated, validate=True)
    except ExpressionError:
        return None
    return None if parsed is None else str(parsed)


def licences(names: Iterable[str], rules: Policy) -> dict[str, str | None]:
    """The licence of each package: as it is known, or else as the installed package states it."""
    return {name: rules.known.get(name) or of_installed(name) for name in sorted(set(names))}


def is_allowed(expression: str, rules: Policy) -> bool:
    """Whether a licence, or one of several that may be chosen, is in the list."""
    return _allows(_SPDX.parse(expression), set(rules.licences))


def _allows(node: Any, allowed: set[str]) -> bool:
    if not getattr(node, "args", ()):
        return str(node) in allowed
    parts = [_allows(one, allowed) for one in node.args]
    return any(parts) if node.operator.strip() == "OR" else all(parts)


def faults(written: Mapping[str, str], names: Iterable[str], rules: Policy) -> list[str]:
    """What has to be changed, by package."""
    names = sorted(set(names))
    found = [f"{name} is not locked any more" for name in written if name not in names]
    found += (f"{name} has no licence in {FILE.name}" for name in names if name not in written)
    for name, licence in written.items():
        stated = rules.known.get(name) or of_installed(name)
        if stated is not None and stated != licence:
            found.append(f"{name} is under {stated}, not {licence}")
        exception = rules.exceptions.get(name)
        if exception is not None and exception.licence != licence:
            found.append(f"{name} is under {licence}, but {exception.licence} is the exception")
        elif exception is None and not is_allowed(licence, rules):
            found.append(f"{name} is under {licence}, which is not among the allowed licences")
    unused = rules.exceptions.keys() - set(names)
    return found + [f"the exception {name} is not locked" for name in sorted(unused)]


def read(path: Path = FILE) -> dict[str, str]:
    """The committed licences, by package."""
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> int:
    """Print what has to be changed; returns the exit code."""
    rules = policy.load()
    # Go's modules are in servers that run as processes of their own.
    names = [one.name for one in packages() if one.ecosystem == PYTHON]
    if sys.argv[1:] == ["--write"]:
        earlier = read() if FILE.exists() else {}
        found = licences(names, rules)
        known = {name: licence or earlier.get(name) for name, licence in found.items()}
        for name in [name for name, licence in known.items() if licence is None]:
            sys.stderr.write(f"licences: {name} states none; add it to `known` in policy.toml\n")
        stated = {name: licence for name, licence in known.items() if licence}
        FILE.write_text(f"{json.dumps(stated, indent=1, sort_keys=True)}\n", encoding="utf-8")
    found = faults(read(), names, rules)
    for fault in found:
        sys.stderr.write(f"licences: {fault}\n")
    if not found:
        exceptions = ", ".join(sorted(rules.exceptions))
        count = len(set(names)) - len(rules.exceptions)
        sys.stdout.write(f"licences: {count} allowed; exceptions: {exceptions}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
