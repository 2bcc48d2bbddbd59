"""Reads the version of a program, and the versions of the modules that a Go program has."""

import mmap
import os
import re
import subprocess
from pathlib import Path

from stack.binaries.catalog import Version

# As in `go version -m`: the module's line, perhaps followed by that of its replacement.
_LINE = rb"\ndep\t%s\tv([^\t\n]*)[^\n]*(?:\n=>\t[^\t\n]+\tv([^\t\n]*))?"


def read_version(program: Path, option: str = "--version") -> Version | None:
    """Ask a program for its version; None if it does not answer with one in time."""
    # Without this variable, another Go than the asked one may answer.
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        answer = subprocess.run(
            [program, option],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # it does not run on this machine
        return None
    numbers = re.search(r"version (?:v|go)?(\d+\.\d+(?:\.\d+)?)", answer.stdout + answer.stderr)
    return _parse(numbers[1]) if numbers else None


def module_version(program: Path, module: str) -> Version | None:
    """Return the version of a module, such as `modernc.org/sqlite`, in a Go program.

    Go itself is not needed.

    Returns:
        None if the file cannot be read, is not a Go program (but a wrapper script, for example), or
        was built without the module or without Go's build information.
    """
    pattern = re.compile(_LINE % re.escape(module.encode()))
    try:
        with (
            program.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            line = pattern.search(content)
            version = "" if line is None else bytes(line[2] or line[1]).decode()
    except (OSError, ValueError):  # unreadable or empty
        return None
    numbers = re.match(r"\d+\.\d+\.\d+", version)
    return _parse(numbers[0]) if numbers else None


def _parse(numbers: str) -> Version:
    major, minor, patch, *_ = (*map(int, numbers.split(".")), 0)
    return major, minor, patch
