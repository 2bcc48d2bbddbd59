"""A real `python -m stack.models` for the tests of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.servers import free_port
from tests.stack.models.lines import SpokenLine, spoken_lines

START_DEADLINE_SECONDS = 110.0
QUEUE_LIMIT = 1
"""Kept small so that a test can fill the lanes: two requests of a kind are taken, no more."""


@dataclass(frozen=True)
class ModelsServer:
    url: str
    health_before_ready: frozenset[int]

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"


@pytest.fixture(scope="session")
def models_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelsServer]:
    log = tmp_path_factory.mktemp("models") / "models.log"
    port = free_port()
    process = start_models(
        log, EVERLINE_MODELS_PORT=str(port), EVERLINE_MODELS_QUEUE_LIMIT=str(QUEUE_LIMIT)
    )
    try:
        url = f"http://127.0.0.1:{port}"
        yield ModelsServer(url, frozenset(_wait_until_healthy(url, process, log)))
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="session")
def caller_lines() -> list[SpokenLine]:
    return spoken_lines()


def start_models(log: Path, **environment: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "stack.models"],
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
