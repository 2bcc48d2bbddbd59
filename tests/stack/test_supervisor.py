"""The supervisor: order, restarts, clean ends, and what a `kill -9` leaves behind."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from stack.errors import StackError
from stack.layout.credentials import read_credentials
from stack.layout.home import Home, find_home
from stack.layout.wanted import PART_NAMES, Wanted, write_wanted
from stack.supervision.control import change_parts
from stack.supervision.locks import try_lock
from stack.supervision.processes import find_leftovers, stop_leftovers
from stack.supervision.state import read_state
from tests.local_stack import LocalStack

DEADLINE = 90

pytestmark = pytest.mark.timeout(600)


class Running:
    """A fake stack's supervisor and what it prints."""

    def __init__(self, process: asyncio.subprocess.Process, home: Home) -> None:
        self.process = process
        self.stack = LocalStack(home)
        self.home = home

    def events(self) -> list[str]:
        path = self.home.root / "events"
        return path.read_text().splitlines() if path.exists() else []

    def pid(self, name: str) -> int:
        pid = self.stack.process(name).pid
        assert pid is not None
        return pid

    async def until(self, phase: str) -> None:
        await until(lambda: read_state(self.home).state == phase, f"the stack is {phase}")

    async def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        if self.process.returncode is None:
            self.process.send_signal(number)
        output, _ = await asyncio.wait_for(self.process.communicate(), DEADLINE)
        assert self.process.returncode is not None
        return self.process.returncode, output.decode()


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(DEADLINE * 50):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {DEADLINE} s: {what}")


@asynccontextmanager
async def fake_stack(home: Path, mode: str = "", *sources: Path) -> AsyncGenerator[Running]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.stack.fake_stack", str(home), mode, *map(str, sources)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Running(process, find_home(given=home))
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        await asyncio.to_thread(stop_leftovers, find_leftovers(running.home), 0.5)


async def everline(home: Path, *words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "--home", str(home), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_parts_start_in_order_and_stop_in_the_reverse_order(tmp_path: Path) -> None:
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        code, output = await stack.end()
    assert code == 0
    assert stack.events() == [
        *("start temporal", "start api", "start agent"),
        *("stop agent", "stop api", "stop temporal"),
    ]
    assert "Everline is running." in output
    assert re.search(r"API docs +http://localhost:\d+/docs\n", output)
    assert read_state(stack.home).state == "stopped"


async def test_a_part_that_never_ran_has_no_log_and_that_is_said(tmp_path: Path) -> None:
    code, output = await everline(tmp_path, "logs", "api")
    assert code == 1
    assert "api never ran" in " ".join(output.split())


async def test_ctrl_c_ends_the_stack_cleanly(tmp_path: Path) -> None:
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        code, _ = await stack.end(signal.SIGINT)
    assert code == 0
    assert stack.events()[-1] == "stop temporal"


async def test_a_killed_part_is_started_again(tmp_path: Path) -> None:
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        untouched = stack.pid("temporal")
        for expected in (1, 2):
            killed = stack.stack.kill("api")
            assert await stack.stack.wait_restarted("api", killed) != killed
            assert stack.stack.process("api").restarts == expected
        assert stack.pid("temporal") == untouched
        code, output = await stack.end()
    assert code == 0
    assert output.count("! api was killed by SIGKILL; restarting it") == 2


async def test_a_part_that_cannot_start_stops_everything_and_shows_its_log(tmp_path: Path) -> None:
    async with fake_stack(tmp_path, "broken-api") as stack:
        await asyncio.wait_for(stack.process.wait(), DEADLINE)
        code, output = await stack.end()
    assert code == 1
    assert "api ended with code 3. The end of its log:" in output
    assert "no licence found" in output
    assert stack.events() == ["start temporal", "stop temporal"]
    state = read_state(stack.home)
    assert (state.state, state.process("api").state) == ("failed", "failed")
    assert state.process("api").reason == "api ended with code 3"


async def test_a_part_that_ignores_the_request_is_ended_by_force(tmp_path: Path) -> None:
    async with fake_stack(tmp_path, "api") as stack:
        await stack.until("running")
        pid = stack.pid("api")
        code, output = await stack.end()
    assert code == 0
    assert "killed after its grace period" in output
    assert not psutil.pid_exists(pid)
    assert stack.events()[-2:] == ["stop agent", "stop temporal"]


async def test_parts_can_be_stopped_and_started_one_by_one(tmp_path: Path) -> None:
    write_wanted(Home(tmp_path), Wanted(left_out=["agent"]))
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        assert stack.stack.process("agent").state == "left_out"
        await stack.stack.start_part("agent")
        await stack.stack.stop_part("temporal")
        assert stack.events() == ["start temporal", "start api", "start agent", "stop temporal"]
        await stack.stack.start_part("temporal")
        assert read_state(stack.home).state == "running"
        await stack.end()


async def test_new_settings_start_a_part_again(tmp_path: Path) -> None:
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        before = stack.pid("agent")
        after = await stack.stack.start_part("agent", {"AGENT_NAME": "other"})
        assert after != before
        assert psutil.Process(after).environ()["AGENT_NAME"] == "other"
        assert stack.events()[-2:] == ["stop agent", "start agent"]
        await stack.end()


async def test_what_was_stopped_by_hand_is_named_with_the_way_back(tmp_path: Path) -> None:
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        await stack.stack.stop_part("api")
        _, seen = await everline(tmp_path, "doctor")
        code, refused = await everline(tmp_path, "keys", "list")
        await stack.end()
    assert "left out; everline start api starts it" in seen
    assert (code, "start it with `everline start api`" in refused) == (1, True)


async def test_a_failed_part_is_tried_again_when_it_is_started_again(tmp_path: Path) -> None:
    write_wanted(Home(tmp_path), Wanted(left_out=["agent"]))
    async with fake_stack(tmp_path, "broken-agent") as stack:
        await stack.until("running")
        for _ in range(2):
            with pytest.raises(StackError, match="agent ended with code 3"):
                await stack.stack.start_part("agent")
        (tmp_path / "licence").touch()
        await stack.stack.start_part("agent")
        assert stack.events()[-1] == "start agent"
        await stack.end()


async def test_a_part_that_is_waited_for_can_be_stopped(tmp_path: Path) -> None:
    async with fake_stack(tmp_path, "held-api") as stack:
        await until(lambda: "start api" in stack.events(), "api is started")
        assert "start agent" not in stack.events()
        await stack.stack.stop_part("api")
        await stack.until("running")
        assert stack.events()[-1] == "start agent"
        await stack.end()


async def test_parts_are_kept_alive_while_the_state_cannot_be_written(tmp_path: Path) -> None:
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        killed = stack.pid("api")
        # As on a full disk: replacing the file fails.
        stack.home.state.unlink()
        stack.home.state.mkdir()
        os.kill(killed, signal.SIGKILL)
        await until(lambda: stack.events().count("start api") == 2, "api is started again")
        stack.home.state.rmdir()
        await until(stack.home.state.exists, "the state is written again")
        assert await stack.stack.wait_restarted("api", killed) != killed
        code, output = await stack.end()
    assert code == 0
    assert output.count("state.json cannot be written") == 1


async def test_a_second_up_finds_the_first(tmp_path: Path) -> None:
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        for words in (("up",), ("up", "--detach")):
            code, output = await everline(tmp_path, *words)
            assert code == 0
            assert f"already running (pid {stack.process.pid}" in output
            assert "API key" in output
        assert len(stack.events()) == 3
        await stack.end()


async def test_the_key_is_shown_and_in_no_log(tmp_path: Path) -> None:
    nothing = [word for name in PART_NAMES for word in ("--without", name)]
    code, output = await everline(tmp_path, "up", "--detach", "--free-ports", *nothing)
    try:
        key = read_credentials(find_home(given=tmp_path))
        logs = {log.name: log.read_text() for log in (tmp_path / "logs").iterdir()}
    finally:
        await everline(tmp_path, "down")

    assert code == 0, output
    assert key is not None
    assert output.count("Everline is running.") == 1
    assert output.count(f"API key      {key.api_key}\n") == 1
    assert "Everline is running." in logs["supervisor.log"]
    assert [name for name, text in logs.items() if key.api_key in text] == []


async def test_status_tells_programs_what_runs(tmp_path: Path) -> None:
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        code, output = await everline(tmp_path, "status", "--json")
        await stack.end()
    assert code == 0
    document = json.loads(output)
    assert set(document) == {"state", "urls", "apiKey", "processes"}
    assert document["state"] == "running"
    assert document["urls"]["temporalUi"] == "http://localhost:8233"
    assert [process["name"] for process in document["processes"]] == ["temporal", "api", "agent"]
    assert all(set(process) == {"name", "pid", "state", "log"} for process in document["processes"])
    code, output = await everline(tmp_path, "status", "--json")
    assert json.loads(output)["state"] == "stopped"


async def test_down_stops_the_stack_and_says_so(tmp_path: Path) -> None:
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        code, output = await everline(tmp_path, "down")
        assert (code, "Everline is stopped." in output) == (0, True)
        assert stack.events()[-1] == "stop temporal"
    code, output = await everline(tmp_path, "down")
    assert (code, "Nothing was running." in output) == (0, True)


async def test_after_the_supervisor_was_killed_the_next_start_cleans_up(tmp_path: Path) -> None:
    # `api` ignores SIGTERM, so it outlives the supervisor on every system.
    async with fake_stack(tmp_path, "api") as stack:
        await stack.until("running")
        survivor = stack.pid("api")
        stack.process.kill()
        await stack.process.wait()
        assert read_state(stack.home).state == "stopped"
        assert psutil.pid_exists(survivor)
        await asyncio.to_thread(stop_leftovers, find_leftovers(stack.home), 0.5)
        assert not psutil.pid_exists(survivor)
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        await stack.end()


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels cannot tie a child's life")
async def test_parts_end_by_themselves_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        stack.process.kill()
        await stack.process.wait()
        await until(lambda: not find_leftovers(stack.home), "all parts have ended")
        assert sorted(stack.events()[-3:]) == ["stop agent", "stop api", "stop temporal"]


async def test_strangers_are_not_taken_for_leftovers(tmp_path: Path) -> None:
    write_wanted(Home(tmp_path), Wanted())
    async with fake_stack(tmp_path / "one") as one:
        await one.until("running")
        assert len(find_leftovers(one.home)) == 3
        assert find_leftovers(Home(tmp_path / "two")) == []
        assert os.getpid() not in [process.pid for process in find_leftovers(one.home)]
        await one.end()


def test_a_damaged_state_of_a_stack_that_does_not_run_is_no_hindrance(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.state.write_text("{")
    assert read_state(home).state == "stopped"
    lock = try_lock(home.lock)
    assert lock
    with lock, pytest.raises(StackError, match="damaged"):
        read_state(home)


async def test_changing_a_stack_that_does_not_run_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"no stack is running in .* `everline up`"):
        change_parts(Home(tmp_path), start=["agent"])
