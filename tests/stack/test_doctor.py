"""`everline doctor` without a stack: every fault comes with its cure."""

import os
import socket
from pathlib import Path

from stack.commands.doctor import Finding, examine
from stack.layout.home import Home
from stack.layout.ports import choose_ports, remember_ports
from tests.stack.test_binaries import temporal_program


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
