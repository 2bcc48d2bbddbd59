"""`everline doctor`: every fault comes with its cure."""

import asyncio
import json
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from cli.doctor import (
    NEWEST_PYTHON,
    OLDEST_PYTHON,
    Finding,
    _sessions_need,  # pyright: ignore[reportPrivateUsage]
    examine,
    examine_speech,
)
from cli.speech_check import SpeechFault, try_models
from stack.layout.credentials import load_credentials
from stack.layout.home import Home
from stack.layout.ports import choose_ports, remember_ports
from stack.layout.wanted import PART_NAMES, Wanted, write_wanted
from tests.fakes.skewed_server import skewed_server
from tests.local_stack import local_stack
from tests.servers import free_port
from tests.stack.interpreters import supported_versions
from tests.stack.models.lines import words_of
from tests.stack.test_binaries import temporal_program

JSON = "application/json"


def look(home: Path, **variables: str) -> dict[str, Finding]:
    environ = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(home / "cache"), **variables}
    return {finding.title: finding for finding in examine(Home(home), environ)}


def test_a_machine_in_order_has_no_fault_with_python_or_ports(tmp_path: Path) -> None:
    remember_ports(Home(tmp_path), choose_ports({}, {}, None, pick_free=True))
    findings = look(tmp_path)
    assert findings["Python"].ok
    assert findings["ports"].ok
    assert "not running" in findings["stack"].detail


def test_a_taken_port_is_named_with_its_cure(tmp_path: Path) -> None:
    free = choose_ports({}, {}, None, pick_free=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        remember_ports(Home(tmp_path), free.model_copy(update={"livekit": port}))
        finding = look(tmp_path)["ports"]
    assert not finding.ok
    assert f"Port {port} (LiveKit)" in finding.detail
    assert finding.cure


def test_a_folder_that_cannot_be_written_to_is_a_fault(tmp_path: Path) -> None:
    assert look(tmp_path / "home")["folder"].ok
    (tmp_path / "file").touch()
    finding = look(tmp_path / "file")["folder"]
    assert not finding.ok
    assert "EVERLINE_HOME" in finding.cure


def test_servers_that_are_neither_there_nor_buildable_are_a_fault(tmp_path: Path) -> None:
    finding = look(tmp_path, PATH=str(tmp_path))["LiveKit server"]
    assert not finding.ok
    assert "make setup" in finding.cure


def test_a_port_that_is_none_is_a_finding_and_no_crash(tmp_path: Path) -> None:
    finding = look(tmp_path, EVERLINE_API_PORT="x")["ports"]
    assert not finding.ok
    assert "EVERLINE_API_PORT" in finding.detail


def test_the_supported_pythons_are_those_of_the_project() -> None:
    first, *_, last = supported_versions()
    assert (first, last) == tuple(
        f"{major}.{minor}" for major, minor in (OLDEST_PYTHON, NEWEST_PYTHON)
    )


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A shell without secrets, in a folder without `.env`."""
    for name in ("LIVEKIT_API_SECRET", "EVERLINE_ENCRYPTION_KEYS", "EVERLINE_CALLBACK_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_derived_secrets_are_told_with_how_to_set_own_ones(
    shell: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "secrets" not in look(tmp_path)

    shell.setenv("LIVEKIT_API_SECRET", "canary")
    found = look(tmp_path)["secrets"]
    assert found.ok
    assert "EVERLINE_ENCRYPTION_KEYS and EVERLINE_CALLBACK_SECRET not set" in found.detail
    assert "derived from LIVEKIT_API_SECRET" in found.detail
    assert "everline secrets" in found.detail
    assert "canary" not in found.detail

    shell.setenv("EVERLINE_CALLBACK_SECRET", "c" * 32)
    assert look(tmp_path)["secrets"].detail.startswith("EVERLINE_ENCRYPTION_KEYS not set")
    shell.setenv("EVERLINE_ENCRYPTION_KEYS", f"k1:{'A' * 43}=")
    assert look(tmp_path)["secrets"].detail == "set in your shell or .env"
    shell.setenv("EVERLINE_ENCRYPTION_KEYS", "k1")
    wrong = look(tmp_path)["secrets"]
    assert not wrong.ok
    assert wrong.detail.startswith("EVERLINE_ENCRYPTION_KEYS: must be id:base64 pairs")


def test_a_stacks_own_secrets_are_named(shell: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load_credentials(Home(tmp_path))
    found = look(tmp_path)["the stack's secrets"]
    assert str(tmp_path / "credentials.json") in found.detail


# ── speech ───────────────────────────────────────────────────────────────────────────────────────

NO_MODEL = {"EVERLINE_MODELS_WHISPER_MODEL": "/no/such/folder"}


def listen(home: Path, **variables: str) -> list[Finding]:
    return list(examine_speech(Home(home), os.environ | variables))


def test_without_a_stack_the_models_are_started_and_tried(tmp_path: Path) -> None:
    (finding,) = listen(tmp_path / "home")
    assert finding.ok, finding
    assert {"book", "table", "four"} <= set(words_of(finding.detail))
    assert not (tmp_path / "home").exists()


async def test_in_a_running_stack_its_own_models_are_tried(tmp_path: Path) -> None:
    without = tuple(name for name in PART_NAMES if name != "models")
    async with local_stack(tmp_path, without=without) as stack:
        # One that was started for the check could not load this.
        (finding,) = await asyncio.to_thread(listen, tmp_path, **NO_MODEL)
        assert finding.ok, finding
        await stack.stop_part("models")
        assert await asyncio.to_thread(listen, tmp_path) == []


def test_models_that_do_not_load_are_a_fault_with_their_reason(tmp_path: Path) -> None:
    (finding,) = listen(tmp_path, **NO_MODEL)
    assert not finding.ok
    assert "'/no/such/folder' cannot be loaded" in finding.detail
    assert "make setup" in finding.cure


def test_models_that_are_left_out_are_not_started(tmp_path: Path) -> None:
    write_wanted(Home(tmp_path), Wanted(left_out=["models"]))
    (finding,) = listen(tmp_path, **NO_MODEL)
    assert (finding.ok, finding.detail) == (True, "left out")


@contextmanager
def answering(status: int, body: bytes) -> Generator[str]:
    """A server that has one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (500, b'{"error": {"message": "TypeError"}}', 'transcriptions answers 500: .*"TypeError"'),
        (
            200,
            b'{"text": "Thank you."}',
            "a recording says 'Hello, .*', and 'Thank you.' was heard",
        ),
        (200, b"<html>", "answers no transcription: <html>"),
    ],
)
async def test_models_that_mishear_are_a_fault(status: int, body: bytes, fault: str) -> None:
    with answering(status, body) as url, pytest.raises(SpeechFault, match=fault):
        await try_models(url)


async def test_models_that_do_not_answer_are_a_fault() -> None:
    with pytest.raises(SpeechFault, match="does not answer"):
        await try_models(f"http://127.0.0.1:{free_port()}")


def test_a_named_temporal_whose_database_can_wedge_is_told(tmp_path: Path) -> None:
    named = temporal_program(tmp_path / "mine", "dep\tmodernc.org/sqlite\tv1.34.1\th1:x=\n")
    finding = look(tmp_path, EVERLINE_TEMPORAL_BINARY=str(named))["Temporal server"]
    assert not finding.ok
    assert "modernc.org/sqlite 1.34.1, below 1.44.3" in finding.detail
    assert "EVERLINE_TEMPORAL_BINARY" in finding.cure
    sound = temporal_program(tmp_path / "sound")
    assert look(tmp_path, EVERLINE_TEMPORAL_BINARY=str(sound))["Temporal server"].ok


def test_a_temporal_on_path_that_is_passed_over_is_told(tmp_path: Path) -> None:
    temporal_program(tmp_path / "bin" / "temporal", "dep\tmodernc.org/sqlite\tv1.34.1\th1:x=\n")
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    detail = look(tmp_path, PATH=path)["Temporal server"].detail
    assert f"{tmp_path / 'bin' / 'temporal'} is not used: it has modernc.org/sqlite" in detail


async def test_a_wrong_clock_is_named_before_the_faults_that_it_causes() -> None:
    health: dict[str, Any] = {
        "clocks": {"ok": False, "detail": "LiveKit's clock is 10 min behind", "cure": "NTP"},
        "livekit": {"ok": False, "detail": "refused"},
        "temporal": {"ok": True, "detail": "2 pollers"},
        "agents": {"ok": False, "detail": "none"},
        "servers": [],
    }
    older = {name: health[name] for name in health if name != "clocks"}
    found: list[list[str]] = []

    def listed(api: str) -> list[Finding]:
        return list(_sessions_need(api))

    for report in (health, older):
        body = json.dumps(report)
        async with skewed_server(0.0, status=503, body=body, content_type=JSON) as url:
            findings = await asyncio.to_thread(listed, url)
        found.append([finding.title for finding in findings])
        assert [finding.ok for finding in findings][-3:] == [False, True, False]

    assert found[0] == ["clocks", "API reaches LiveKit", "Temporal workers", "agent workers"]
    assert found[1] == found[0][1:], "an API of an older release compares no clocks"
