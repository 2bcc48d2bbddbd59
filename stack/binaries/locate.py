"""Finds a server's binary: named by the user, on PATH, in the cache, or built now."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from stack.binaries.build import build_server
from stack.binaries.catalog import SERVERS, Server, Version
from stack.binaries.toolchain import discard_build_folders
from stack.binaries.versions import module_version, read_version
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
    on_path, reason = find_on_path(server, environ)
    if on_path:
        return on_path
    if reason:
        progress.say(f"  {reason}")
    return find_built(server, environ) or build_server(
        server, binary_path(server, environ), progress, environ
    )


def locate_servers(progress: Progress, environ: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """Return the binaries of all servers by program name, building what is missing."""
    found = {server.name: locate_server(server, progress, environ) for server in SERVERS}
    discard_build_folders(environ)
    return found


def find_on_path(
    server: Server, environ: Mapping[str, str] = os.environ
) -> tuple[Path | None, str | None]:
    """Return the program on PATH, or why it is not used although its version is supported."""
    found = shutil.which(server.name, path=environ.get("PATH"))
    version = read_version(Path(found)) if found else None
    if found is None or version is None or not server.at_least <= version < server.below:
        return None, None
    fault = find_fault(server, Path(found))
    return (None, f"{found} is not used: {fault}") if fault else (Path(found), None)


def find_fault(server: Server, program: Path) -> str | None:
    """Return the known fault of a program, if it has one.

    A program that does not say what it was built from counts as faulty, because most are.
    """
    required = server.requires
    version = module_version(program, required.module) if required else None
    if required is None or (version is not None and version >= required.at_least):
        return None
    at_least = _dotted(required.at_least)
    if version is None:
        return f"it does not say that it has {required.module} {at_least} or newer"
    return f"it has {required.module} {_dotted(version)}, below {at_least}: {required.fault}"


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def binary_path(server: Server, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the built binary is, or will be, for all clones of this user."""
    return find_cache(environ) / "bin" / server.build_id / server.name


def find_built(server: Server, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the built binary if it exists."""
    path = binary_path(server, environ)
    return path if os.access(path, os.X_OK) else None
