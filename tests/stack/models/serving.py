"""A real `python -m stack.models` for tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.servers import free_port

START_DEADLINE_SECONDS = 110.0


@dataclass(frozen=True)
class ModelsServer:
    url: str
    health_before_ready: frozenset[int]

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"


@contextmanager
def serving_models(
    folder: Path, python: Path = Path(sys.executable), **environment: str
) -> Generator[ModelsServer]:
    """Run the server under an interpreter until the block ends; its log goes into `folder`."""
    log = folder / "models.log"
    port = free_port()
    process = start_models(log, python, EVERLINE_MODELS_PORT=str(port), **environment)
    try:
        url = f"http://127.0.0.1:{port}"
        yield ModelsServer(url, frozenset(_wait_until_healthy(url, process, log)))
    finally:
        process.terminate()
        process.wait(timeout=60)


def start_models(
    log: Path, python: Path = Path(sys.executable), **environment: str
) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            [python, "-m", "stack.models"],
            env=os.environ | environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> Iterator[int]:
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended:\n{log.read_text()}"
        try:
            status = httpx.get(f"{url}/health").status_code
        except httpx.TransportError:
            status = 0  # not listening yet
        if status == 200:
            return
        if status:
            yield status
        time.sleep(0.02)
    pytest.fail(f"not healthy within {START_DEADLINE_SECONDS} s:\n{log.read_text()}")
