"""The Python interpreters of this machine, and the pytest plugin that says which were used."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from stack.layout.home import CHECKOUT

USED = "interpreter"
"""Property of a test's report: the interpreter that the test ran."""

_DESCRIBE = """
import json, sys, sysconfig
usual = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
print(json.dumps([usual, *sys.version_info[:3]]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs.

    Attributes:
        version: Its minor version: `3.12`.
        release: Its full version: `3.12.1`.
        path: Its program.
    """

    version: str
    release: str
    path: Path

    def __str__(self) -> str:
        return f"{self.release} ({self.path})"


def supported_versions() -> list[str]:
    """Every minor version that `requires-python` in pyproject.toml allows."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest, below = project["requires-python"].split(",")
    first, end = (int(bound.rpartition("3.")[2]) for bound in (oldest, below))
    return [f"3.{minor}" for minor in range(first, end)]


@cache
def find_interpreters() -> tuple[Interpreter, ...]:
    """Return one interpreter of each supported version that this machine has, oldest first.

    The one that runs the tests comes first, then PATH in its order, then pyenv's.
    """
    found: dict[str, Interpreter] = {}
    versions = supported_versions()
    for candidate in _candidates(versions):
        interpreter = _describe(candidate)
        if interpreter is not None and interpreter.version in versions:
            found.setdefault(interpreter.version, interpreter)
    return tuple(found[version] for version in versions if version in found)


def _candidates(versions: list[str]) -> Iterator[Path]:
    yield Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += sorted(pyenv.glob("versions/*/bin"))
    for folder in folders:
        for name in [*(f"python{version}" for version in versions), "python3"]:
            if os.access(folder / name, os.X_OK):
                yield folder / name


def _describe(candidate: Path) -> Interpreter | None:
    """Run a candidate; nothing for one that does not run or is no usual CPython."""
    try:
        answer = subprocess.run(
            [candidate, "-I", "-c", _DESCRIBE], capture_output=True, timeout=30, check=False
        )
        usual, major, minor, micro = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):  # pyenv's shims for absent versions
        return None
    if not usual:
        return None
    return Interpreter(f"{major}.{minor}", f"{major}.{minor}.{micro}", candidate)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which interpreters the tests ran, and which supported versions were absent."""
    reports = [
        report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)
    ]
    used = {value for report in reports for name, value in report.user_properties if name == USED}
    if not used:
        return
    absent = [
        version
        for version in supported_versions()
        if not any(str(value).startswith(f"{version}.") for value in used)
    ]
    terminalreporter.section("Python versions of this machine")
    for interpreter in sorted(map(str, used)):
        terminalreporter.line(f"tested: {interpreter}")
    terminalreporter.line(f"absent: {', '.join(absent) or 'none'}")
