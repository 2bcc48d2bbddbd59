"""The previous release, installed beside this one."""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from stack.layout.home import CHECKOUT, find_cache

PREVIOUS = (Path(__file__).parent / "previous-release").read_text(encoding="utf-8").strip()
"""The commit of the previous release. It changes with each release."""


def install(commit: str) -> Path:
    """Install a commit of this repository in the user's cache, once; returns its folder.

    Raises:
        AssertionError: The commit is not in this clone, or its set-up fails.
    """
    folder = find_cache() / "releases" / commit
    done = folder / ".installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _unpack(commit, folder)
        _run("make", "setup", f"PYTHON={sys.executable}", folder=folder)
        done.touch()
    return folder


def python_of(release: Path) -> Path:
    """The interpreter of an installed release."""
    return release / ".venv" / "bin" / "python"


def _unpack(commit: str, folder: Path) -> None:
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        _run("git", "archive", "--output", archive.name, commit, folder=CHECKOUT)
        with tarfile.open(archive.name) as content:
            content.extractall(folder, filter="data")


def _run(*command: str, folder: Path) -> None:
    # Its make must not take over what ours was told.
    ours = ("MAKE", "MFLAGS", "VIRTUAL_ENV")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (
        f"{' '.join(command)} failed in {folder}:\n{done.stdout}{done.stderr}\n"
        "The previous release has to be in this clone: git fetch --unshallow"
    )
