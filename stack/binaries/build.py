"""Builds a server from its pinned, checksummed modules, once per version and user."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from stack.binaries.catalog import Server
from stack.binaries.toolchain import find_toolchain
from stack.errors import StackError
from stack.layout.home import create_in_cache
from stack.progress import Progress, Step
from stack.supervision.locks import wait_for_lock
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
    create_in_cache(folder.parent)
    lock = folder.parent / f".{folder.name}.lock"
    with wait_for_lock(lock, progress, f"build {server.title}"):
        if os.access(target, os.X_OK):
            return target
        go, environment = find_toolchain(progress, environ)
        log = folder.parent / f"{folder.name}.log"
        step = progress.begin(
            f"build {server.title} {server.version}",
            f"once, about {server.build_minutes} minutes on two cores; log: {log}",
        )
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".build-") as scratch:
            # A copy, because an installed package may be read-only and Go writes beside go.mod.
            module, built = Path(scratch) / "module", Path(scratch) / server.name
            shutil.copytree(server.sources, module)
            command = [str(go), "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w"]
            command += ["-o", str(built), server.package]
            with log.open("wb") as output:
                build = subprocess.Popen(
                    command,
                    cwd=module,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
                code = _wait(build, progress, step)
            if code != 0:
                progress.fail(step, f"go build ended with code {code}")
                raise StackError(_explain(server, log))
            folder.mkdir(exist_ok=True)
            os.replace(built, target)
        progress.done(step, str(target))
        return target


def _wait(build: subprocess.Popen[bytes], progress: Progress, step: Step) -> int:
    """Return the exit code of a build, -1 if it took too long."""
    with build:
        try:
            while build.poll() is None and step.seconds < _LIMIT_SECONDS:
                progress.remind()
                time.sleep(0.2)
            return -1 if build.returncode is None else build.returncode
        finally:
            build.kill()


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
