"""Server binaries: taken from PATH when they fit, else built once, atomically, with a clear end."""

import asyncio
import dataclasses
import os
import re
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from stack.binaries import LIVEKIT, TEMPORAL, locate_server
from stack.binaries.locate import binary_path, find_on_path
from stack.binaries.versions import read_version
from stack.errors import StackError
from stack.progress import Progress

SERVER = dataclasses.replace(LIVEKIT, build_minutes=1)

# Stands in for the compiler at its command line: notes every build and writes what -o names.
GO = """#!{python}
import os, sys, time
if sys.argv[1] == "version":
    print("go version {version} linux/amd64")
    sys.exit(0)
with open("{notes}", "a") as notes:
    notes.write(" ".join(sys.argv[1:]) + "|" + os.environ["GOTOOLCHAIN"] + "\\n")
print("go: downloading something")
print("disk is full", file=sys.stderr)
time.sleep({seconds})
with open(sys.argv[sys.argv.index("-o") + 1], "w") as built:
    built.write("#!/bin/sh\\necho livekit-server version 1.13.5\\n")
os.chmod(sys.argv[sys.argv.index("-o") + 1], 0o755)
sys.exit({code})
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


SOUND = "dep\tmodernc.org/sqlite\tv1.44.3\th1:x=\n"


def temporal_program(
    path: Path,
    modules: str = SOUND,
    line: str = "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)",
) -> Path:
    """A program with a version and, as Go embeds it, with the modules it was built from."""
    text = f"#!/bin/sh\necho '{line}'\nexit\n\npath\texample\nmod\texample\t(devel)\n{modules}"
    return program(path, text)


def fake_go(folder: Path, *, code: int = 0, version: str = "go1.26.1", seconds: float = 0) -> Path:
    text = GO.format(
        python=sys.executable,
        notes=folder / "notes",
        code=code,
        version=version,
        seconds=seconds,
    )
    return program(folder / "bin" / "go", text)


def environ(folder: Path) -> dict[str, str]:
    return {"PATH": str(folder / "bin"), "XDG_CACHE_HOME": str(folder / "cache")}


def builds(folder: Path) -> list[str]:
    notes = folder / "notes"
    return notes.read_text().splitlines() if notes.exists() else []


def quiet() -> Progress:
    return Progress(Console(file=StringIO()))


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        ("temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)", True),
        ("temporal version 1.8.0 (Server 1.31.0, UI 2.50.0)", True),
        ("temporal version 1.4.9 (Server 1.28.0, UI 2.40.0)", False),
        ("temporal version 2.0.0 (Server 2.0.0)", False),
        ("temporal version 0.0.0-DEV (Server 1.29.1)", False),
        ("hello", False),
    ],
)
def test_a_program_on_path_is_taken_if_its_version_fits(
    tmp_path: Path, line: str, fits: bool
) -> None:
    found = temporal_program(tmp_path / "bin" / "temporal", line=line)
    assert find_on_path(TEMPORAL, environ(tmp_path)) == (found if fits else None, None)


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        (SOUND, None),
        ("dep\tmodernc.org/sqlite\tv1.50.0\th1:x=\n", None),
        (f"dep\tmodernc.org/sqlite\tv1.34.1\n=>{SOUND[3:]}", None),
        ("dep\tmodernc.org/sqlite\tv1.34.1\th1:x=\n", "has modernc.org/sqlite 1.34.1, below"),
        ("dep\tmodernc.org/sqlite\tv1.39.1\th1:x=\n", "has modernc.org/sqlite 1.39.1, below"),
        (f"{SOUND[:-1]}\n=>\tmodernc.org/sqlite\tv1.34.1\th1:x=\n", "1.34.1, below 1.44.3"),
        ("dep\tmodernc.org/sqlite2\tv1.50.0\th1:x=\n", "does not say"),
        ("", "does not say"),
    ],
)
def test_a_temporal_on_path_whose_database_can_wedge_is_passed_over(
    tmp_path: Path, modules: str, reason: str | None
) -> None:
    found = temporal_program(tmp_path / "bin" / "temporal", modules)
    used, told = find_on_path(TEMPORAL, environ(tmp_path))
    assert used == (None if reason else found)
    assert (reason is None and told is None) or (reason is not None and reason in str(told))


def test_a_temporal_whose_database_can_wedge_is_used_when_it_is_named(tmp_path: Path) -> None:
    named = temporal_program(tmp_path / "mine", "dep\tmodernc.org/sqlite\tv1.34.1\th1:x=\n")
    variables = environ(tmp_path) | {"EVERLINE_TEMPORAL_BINARY": str(named)}
    output = StringIO()
    progress = Progress(Console(file=output, width=400))
    assert locate_server(TEMPORAL, progress, variables) == named.resolve()
    assert "EVERLINE_TEMPORAL_BINARY names" in output.getvalue()
    assert "interrupt its database connection for good" in output.getvalue()


def test_the_pinned_temporal_is_built_with_what_is_required() -> None:
    assert TEMPORAL.requires is not None
    pins = (TEMPORAL.sources / "go.mod").read_text()
    pinned = re.search(rf"{re.escape(TEMPORAL.requires.module)} v(\d+)\.(\d+)\.(\d+)", pins)
    assert pinned is not None
    assert tuple(int(part) for part in pinned.groups()) >= TEMPORAL.requires.at_least


def test_a_program_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    broken = program(tmp_path / "bin" / "temporal", "#!/nowhere/sh\n")
    assert read_version(broken) is None


def test_a_named_binary_wins_and_must_be_one(tmp_path: Path) -> None:
    named = program(tmp_path / "mine", "#!/bin/sh\n")
    variables = environ(tmp_path) | {"EVERLINE_LIVEKIT_BINARY": str(named)}
    assert locate_server(SERVER, quiet(), variables) == named.resolve()
    variables["EVERLINE_LIVEKIT_BINARY"] = str(tmp_path)
    with pytest.raises(StackError, match="EVERLINE_LIVEKIT_BINARY names"):
        locate_server(SERVER, quiet(), variables)


def test_it_is_built_once_from_pinned_modules(tmp_path: Path) -> None:
    fake_go(tmp_path)
    built = locate_server(SERVER, quiet(), environ(tmp_path))
    assert built == binary_path(SERVER, environ(tmp_path))
    assert read_version(built) == (1, 13, 5)
    assert locate_server(SERVER, quiet(), environ(tmp_path)) == built
    (command,) = builds(tmp_path)
    assert command.startswith("build -mod=readonly -trimpath -ldflags -s -w -o ")
    assert command.endswith("github.com/livekit/livekit-server/cmd/server|local")


async def test_two_clones_that_come_at_once_build_once(tmp_path: Path) -> None:
    fake_go(tmp_path, seconds=1)
    calls = [asyncio.to_thread(locate_server, SERVER, quiet(), environ(tmp_path)) for _ in range(2)]
    first, second = await asyncio.gather(*calls)
    assert first == second
    assert len(builds(tmp_path)) == 1


def test_a_failed_build_shows_its_log_and_what_to_do_and_leaves_nothing(tmp_path: Path) -> None:
    fake_go(tmp_path, code=1)
    with pytest.raises(StackError) as problem:
        locate_server(SERVER, quiet(), environ(tmp_path))
    message = str(problem.value)
    assert "LiveKit 1.13.5 could not be built" in message
    assert "disk is full" in message
    assert "https://get.livekit.io" in message
    assert "EVERLINE_LIVEKIT_BINARY=" in message
    assert not binary_path(SERVER, environ(tmp_path)).exists()
    assert not list((tmp_path / "cache" / "everline" / "bin").glob(".build-*"))


def test_an_old_go_is_not_used_and_without_uv_the_message_says_what_to_do(tmp_path: Path) -> None:
    fake_go(tmp_path, version="go1.21.0")
    with pytest.raises(StackError, match="uv is missing: run `make setup`"):
        locate_server(SERVER, quiet(), environ(tmp_path))
    assert builds(tmp_path) == []


def test_other_pins_or_another_machine_mean_another_build(tmp_path: Path) -> None:
    class Repinned(type(SERVER)):  # type: ignore[misc]  # a frozen dataclass with other sources
        @property
        def sources(self) -> Path:
            return tmp_path

    for name in ("go.mod", "go.sum", "tools.go"):
        (tmp_path / name).write_bytes((SERVER.sources / name).read_bytes() + b"\n")
    repinned = Repinned(**dataclasses.asdict(SERVER))
    assert repinned.build_id != SERVER.build_id
    assert SERVER.build_id.startswith(f"livekit-server-1.13.5-{os.uname().sysname.lower()}-")
