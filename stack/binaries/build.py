"""Builds a server from its pinned, checksummed modules, once per version and user."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from stack.binaries.catalog import Server
from stack.binaries.toolchain import Toolchain, find_toolchain
from stack.errors import StackError
from stack.progress import Progress, Step
from stack.supervision.locks import FileLock
from stack.supervision.logs import tail

# Downloading everything over a slow line takes long, but a hanging build must end.
_LIMIT_SECONDS = 45 * 60
_TAIL_LINES = 15


def build_server(
    server: Server, target: Path, progress: Progress, environ: Mapping[str, str] = os.environ
) -> Path:
    """Build a server and move it to `target`.

    A second clone waits for a build in progress instead of repeating it.

    Raises:
        StackError: The build failed; the message shows the end of its log and what to do.
    """
    folder = target.parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    if not lock.acquire():
        with progress.step(f"build {server.title}", "another process is building it; waiting"):
            while not lock.acquire():
                progress.remind()
                time.sleep(0.5)
    try:
        if os.access(target, os.X_OK):
            return target
        toolchain = find_toolchain(progress, environ)
        log = folder.parent / f"{folder.name}.log"
        step = progress.begin(
            f"build {server.title} {server.version}",
            f"once, about {server.build_minutes} minutes on two cores; log: {log}",
        )
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".build-") as scratch:
            built = Path(scratch) / server.name
            code = _run(server, toolchain, built, log, progress, step)
            if code != 0:
                progress.fail(step, f"go build ended with code {code}")
                raise StackError(_explain(server, log))
            folder.mkdir(exist_ok=True)
            os.replace(built, target)
        progress.done(step, str(target))
        return target
    finally:
        lock.release()


def _run(
    server: Server, toolchain: Toolchain, built: Path, log: Path, progress: Progress, step: Step
) -> int:
    """Run `go build`; returns its exit code, -1 if it took too long."""
    # A copy, because an installed package may be read-only and Go writes beside go.mod.
    module = built.parent / "module"
    shutil.copytree(server.sources, module)
    command = [str(toolchain.go), "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w"]
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(
            [*command, "-o", str(built), server.package],
            cwd=module,
            env=toolchain.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            while process.poll() is None and step.seconds < _LIMIT_SECONDS:
                progress.remind()
                time.sleep(0.2)
            return -1 if process.returncode is None else process.returncode
        finally:
            process.kill()


def _explain(server: Server, log: Path) -> str:
    return "\n".join(
        [
            f"{server.title} {server.version} could not be built. The end of {log}:",
            *(f"    {line}" for line in tail(log, _TAIL_LINES)),
            "What to do:",
            "  - no network or a proxy: set HTTPS_PROXY or GOPROXY and start again "
            "(downloads are kept);",
            "  - disk full: a build needs about 6 GB while it runs;",
            f"  - or install it yourself: {server.install}",
            f"    and put it on PATH, or set {server.variable}=/path/to/{server.name}.",
        ]
    )
