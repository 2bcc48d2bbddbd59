"""A cache folder that cannot be written to is named with the variable for another one."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from stack.binaries import SERVERS
from stack.binaries.build import build_server
from stack.binaries.toolchain import find_toolchain
from stack.errors import StackError
from stack.progress import Progress


def quiet() -> Progress:
    return Progress(Console(quiet=True))


@pytest.mark.parametrize("kind", ["a file", "a folder below a file"])
def test_a_build_needs_a_cache_that_can_be_written_to(tmp_path: Path, kind: str) -> None:
    # Root may write to read-only folders, but nobody can create a folder below a file.
    (tmp_path / "cache").touch()
    cache = tmp_path / "cache" if kind == "a file" else tmp_path / "cache" / "below"
    environ = {"PATH": "", "XDG_CACHE_HOME": str(cache)}

    with pytest.raises(StackError, match=r"cannot be written to: .*XDG_CACHE_HOME=/path"):
        find_toolchain(quiet(), environ)
    target = cache / "everline" / "bin" / "id" / SERVERS[0].name
    with pytest.raises(StackError, match=r"cannot be written to: .*XDG_CACHE_HOME=/path"):
        build_server(SERVERS[0], target, quiet(), os.environ | environ)
