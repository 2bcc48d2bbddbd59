"""Finds a server's binary: named by the user, on PATH, in the cache, or built now."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stack.binaries.build import build_server
from stack.binaries.catalog import SERVERS, Server, Version
from stack.binaries.modules import module_version
from stack.binaries.toolchain import discard_build_folders
from stack.errors import StackError
from stack.layout.home import find_cache
from stack.progress import Progress


def locate_server(
    server: Server, progress: Progress, environ: Mapping[str, str] = os.environ
) -> Path:
    """Return a binary of a supported version, building it if needed.

    Raises:
        StackError: None could be found or built; the message says what to do.
    """
    if named := environ.get(server.variable):
        program = Path(named).expanduser()
        if not os.access(program, os.X_OK) or program.is_dir():
            raise StackError(
                f"{server.variable} names {program}, which is not an executable program. "
                "Correct it or unset it."
            )
        program = program.resolve()
        if fault := find_fault(server, program):
            progress.say(f"! {server.variable} names {program}: {fault}")
        return program
    if on_path := find_on_path(server, environ):
        return on_path
    if reason := passed_over(server, environ):
        progress.say(f"  {reason}")
    return find_built(server, environ) or build_server(
        server, binary_path(server, environ), progress, environ
    )


def locate_servers(progress: Progress, environ: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """Return the binaries of all servers by program name, building what is missing."""
    found = {server.name: locate_server(server, progress, environ) for server in SERVERS}
    discard_build_folders(environ)
    return found


def find_on_path(server: Server, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the program on PATH if its version is supported and it has no known fault."""
    found = _supported_on_path(server, environ)
    return None if found is None or find_fault(server, found) else found


def passed_over(server: Server, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return why a program on PATH with a supported version is not used, if there is one."""
    found = _supported_on_path(server, environ)
    fault = None if found is None else find_fault(server, found)
    return None if fault is None else f"{found} is not used: {fault}"


def find_fault(server: Server, program: Path) -> str | None:
    """Return the known fault of a program, if it has one.

    A program that does not say what it was built from counts as faulty, because most are.
    """
    required = server.requires
    if required is None:
        return None
    version = module_version(program, required.module)
    if version is not None and version >= required.at_least:
        return None
    at_least = _dotted(required.at_least)
    if version is None:
        return f"it does not say that it has {required.module} {at_least} or newer"
    return f"it has {required.module} {_dotted(version)}, below {at_least}: {required.fault}"


def _supported_on_path(server: Server, environ: Mapping[str, str]) -> Path | None:
    found = shutil.which(server.name, path=environ.get("PATH"))
    version = read_version(Path(found)) if found else None
    supported = version is not None and server.at_least <= version < server.below
    return Path(found) if found and supported else None


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def binary_path(server: Server, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the built binary is, or will be, for all clones of this user."""
    return find_cache(environ) / "bin" / server.build_id / server.name


def find_built(server: Server, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the built binary if it exists."""
    path = binary_path(server, environ)
    return path if os.access(path, os.X_OK) else None


def read_version(program: Path) -> Version | None:
    """Ask a program for its version; None if it does not answer with one in time."""
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):  # it does not run on this machine
        return None
    match = re.search(r"version v?(\d+)\.(\d+)\.(\d+)", answer.stdout + answer.stderr)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None
