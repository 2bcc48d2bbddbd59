"""Which modules a Go program was built from, read from the program itself; no Go is needed."""

import mmap
import re
from pathlib import Path

from stack.binaries.catalog import Version

# As `go version -m` shows it: the module's line, then perhaps the one that it was replaced with.
_LINE = rb"\ndep\t%s\tv([^\t\n]*)[^\n]*(?:\n=>\t[^\t\n]+\tv([^\t\n]*))?"
_NUMBERS = re.compile(rb"(\d+)\.(\d+)\.(\d+)")


def module_version(program: Path, module: str) -> Version | None:
    """Return the version of a module in a Go program.

    Args:
        program: The program's file.
        module: The module's path, such as `modernc.org/sqlite`.

    Returns:
        Nothing if the file cannot be read, is no Go program (a wrapper script, for instance), or
        was built without the module or without the build information that Go embeds.
    """
    pattern = re.compile(_LINE % re.escape(module.encode()))
    try:
        with (
            program.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            line = pattern.search(content)
            version = None if line is None else bytes(line[2] or line[1])
    except (OSError, ValueError):  # unreadable, or empty: nothing is known of it
        return None
    numbers = None if version is None else _NUMBERS.match(version)
    return None if numbers is None else (int(numbers[1]), int(numbers[2]), int(numbers[3]))
