"""Logs: capped while their process goes on writing, and shown from the end."""

from pathlib import Path

from stack.supervision.logs import cap_log, new_lines, tail


def test_a_grown_log_is_moved_aside_and_its_process_writes_on(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as process:
        process.write(b"old line\n" * 100)
        cap_log(log, limit=500)
        process.write(b"new line\n")
    assert log.read_text() == "new line\n"
    older = (tmp_path / "api.log.1").read_bytes()
    assert len(older) == 500
    assert older.endswith(b"old line\n")


def test_a_log_is_cut_although_there_is_no_room_to_keep_what_it_held(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("old line\n" * 100)
    (tmp_path / "api.log.1").symlink_to("/dev/full")
    cap_log(log, limit=500)
    assert log.read_text() == ""


def test_a_small_log_stays_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("line\n")
    cap_log(log, limit=500)
    cap_log(tmp_path / "missing.log", limit=500)
    assert log.read_text() == "line\n"
    assert not (tmp_path / "api.log.1").exists()


def test_the_last_lines_are_shown(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert tail(log, 2) == ["line 9998", "line 9999"]
    assert tail(tmp_path / "missing.log", 2) == []


def test_whole_new_lines_are_read_and_a_truncated_log_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    assert new_lines(log, 0) == ([], 0)
    log.write_text("one\ntwo\nthr")
    assert new_lines(log, 0) == (["one", "two"], 8)
    log.write_text("one\ntwo\nthree\n")
    assert new_lines(log, 8) == (["three"], 14)
    log.write_text("new\n")
    assert new_lines(log, 14) == (["new"], 4)
