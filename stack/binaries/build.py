"""Building a server from its pinned, checksummed modules, once per version and user."""

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

# A build that downloads everything over a slow line takes long; one that hangs must end.
_LIMIT_SECONDS = 45 * 60
_TAIL_LINES = 15


def build_server(
    server: Server, target: Path, progress: Progress, environ: Mapping[str, str] = os.environ
) -> Path:
    """Build a server and put it in place in one step.

    A second clone that comes meanwhile waits for the first one's build instead of repeating it.

    Raises:
        StackError: The build failed; the message has the end of its log and what to do.
    """
    folder = target.parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    _wait_for(lock, server, progress)
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
            _run(server, toolchain, built, log, progress, step)
            folder.mkdir(exist_ok=True)
            os.replace(built, target)
        progress.done(step, str(target))
        return target
    finally:
        lock.release()


def _wait_for(lock: FileLock, server: Server, progress: Progress) -> None:
    if lock.acquire():
        return
    with progress.step(f"build {server.title}", "another process is building it; waiting"):
        while not lock.acquire():
            progress.remind()
            time.sleep(0.5)


def _run(
    server: Server, toolchain: Toolchain, built: Path, log: Path, progress: Progress, step: Step
) -> None:
    # A copy: an installed package may be read-only, and Go wants to write beside go.mod.
    module = built.parent / "module"
    shutil.copytree(server.sources, module)
    command = [str(toolchain.go), "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w"]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*command, "-o", str(built), server.package],
            cwd=module,
            env=toolchain.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            code = _await(process, progress, step)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code != 0:
        progress.fail(step, f"go build ended with code {code}")
        raise StackError(_explain(server, log))


def _await(process: subprocess.Popen[bytes], progress: Progress, step: Step) -> int:
    while step.seconds < _LIMIT_SECONDS:
        progress.remind()
        try:
            return process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            continue  # still building
    return -1


def _explain(server: Server, log: Path) -> str:
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(
        [
            f"{server.title} {server.version} could not be built. The end of {log}:",
            *(f"    {line}" for line in tail),
            "What to do:",
            "  - no network or a proxy: set HTTPS_PROXY or GOPROXY and start again "
            "(what was downloaded is kept);",
            "  - disk full: a build needs about 6 GB while it runs;",
            f"  - or install it yourself: {server.install}",
            f"    and have it on PATH, or name it with {server.variable}=/path/to/{server.name}.",
        ]
    )
