"""Every supported Python: the pinned packages fit it, and the local models work under it."""

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from stack.binaries.toolchain import find_uv
from stack.layout.home import CHECKOUT
from tests.stack.interpreters import USED, Interpreter, find_interpreters, supported_versions
from tests.stack.models.lines import SpokenLine, words_of
from tests.stack.models.serving import serving_models
from tests.stack.models.test_speech import say, understood
from tests.stack.models.test_transcription import post

REQUIREMENTS = CHECKOUT / "requirements"
SETUP = [REQUIREMENTS / f"{group}.txt" for group in ("base", "dev", "stack")]

# As Dockerfile.models: the server of the models needs these besides the `stack` group.
SERVER_PACKAGES = ("fastapi", "uvicorn", "pydantic-settings", "python-multipart")


def uv(*arguments: str | Path) -> None:
    """Run uv on interpreters that are there, and show what it said if it fails."""
    result = subprocess.run(
        [find_uv(), *arguments],
        env=os.environ | {"UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def files(option: str, paths: Sequence[Path]) -> list[str]:
    return [word for path in paths for word in (option, str(path))]


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda path: path.name)
def test_every_python_gets_the_same_version_of_a_package(path: Path) -> None:
    pinned = re.findall(r"^([\w.-]+)==", path.read_text("utf-8"), re.MULTILINE)
    assert pinned
    assert [name for name, count in Counter(pinned).items() if count > 1] == []


@pytest.mark.parametrize("version", supported_versions())
def test_the_pinned_packages_have_wheels_for(version: str, tmp_path: Path) -> None:
    uv(
        *("pip", "install", "--dry-run", "--only-binary", ":all:", "--no-deps"),
        *("--require-hashes", "--python", sys.executable, "--python-version", version),
        *("--target", tmp_path, *files("-r", SETUP)),
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is removed at once: a virtual environment is too large to be kept."""
    with tempfile.TemporaryDirectory(prefix="everline-python-") as name:
        yield Path(name)


@pytest.mark.parametrize("python", find_interpreters(), ids=lambda python: python.version)
def test_the_models_hear_and_speak_under(
    python: Interpreter,
    folder: Path,
    caller_lines: list[SpokenLine],
    record_property: Callable[[str, object], None],
) -> None:
    record_property(USED, str(python))
    program = folder / "venv" / "bin" / "python"
    uv("venv", "--python", python.path, folder / "venv")
    uv(
        *("pip", "install", "--python", program, "--only-binary", ":all:", *SERVER_PACKAGES),
        *(*files("-r", SETUP[-1:]), *files("-c", SETUP[:1])),
    )
    with serving_models(folder, program, PYTHONPATH=str(CHECKOUT)) as server:
        heard = [post(server, line.wav).json()["text"] for line in caller_lines]
        assert [words_of(text) for text in heard] == [words_of(line.says) for line in caller_lines]
        assert understood(server, say(server, response_format="mp3").content)


def test_the_python_that_runs_the_tests_is_one_of_them() -> None:
    running = ".".join(map(str, sys.version_info[:2]))
    assert running in [python.version for python in find_interpreters()]


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("Makefile", r"Only Python (.+), git and make are needed"),
        ("Makefile", r"Everline needs Python (.+): install one"),
        (".ci/run", r"Needs Python (.+), git and make"),
        ("README.md", r"Only Python (.+), git and make are needed"),
        ("docs/tutorial/quickstart.md", r"Python (.+), git and make, on Linux"),
    ],
)
def test_the_supported_versions_are_named_in(path: str, pattern: str) -> None:
    *first, last = supported_versions()
    named = re.findall(pattern, (CHECKOUT / path).read_text("utf-8"))
    assert named == [f"{', '.join(first)} or {last}"]


def test_make_takes_no_other_python() -> None:
    versions = [version.replace(".", ", ") for version in supported_versions()]
    condition = f"not ({versions[0]}) <= sys.version_info[:2] <= ({versions[-1]})"
    assert condition in (CHECKOUT / "Makefile").read_text("utf-8")
