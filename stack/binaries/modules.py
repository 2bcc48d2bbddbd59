"""Reads from a Go program which modules it was built from, without needing Go."""

import mmap
import re
from pathlib import Path

from stack.binaries.catalog import Version

# As in `go version -m`: the module's line, perhaps followed by that of its replacement.
_LINE = rb"\ndep\t%s\tv([^\t\n]*)[^\n]*(?:\n=>\t[^\t\n]+\tv([^\t\n]*))?"
_NUMBERS = re.compile(rb"(\d+)\.(\d+)\.(\d+)")


def module_version(program: Path, module: str) -> Version | None:
    """Return the version of a module, such as `modernc.org/sqlite`, in a Go program.

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
            version = None if line is None else bytes(line[2] or line[1])
    except (OSError, ValueError):  # unreadable or empty
        return None
    numbers = None if version is None else _NUMBERS.match(version)
    return None if numbers is None else (int(numbers[1]), int(numbers[2]), int(numbers[3]))
