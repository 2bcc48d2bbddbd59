"""`everline up` on a running stack: every option is applied or refused, none is dropped."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest

from stack.layout.wanted import read_wanted
from tests.stack.test_supervisor import DEADLINE, Running, everline, fake_stack

pytestmark = pytest.mark.timeout(600)


async def test_settings_are_applied_to_a_running_stack(tmp_path: Path) -> None:
    async with fake_stack(tmp_path, "worker") as stack:
        await stack.until("running")
        untouched = stack.pid("temporal")
        for words in (
            ("--set", "LOG_LEVEL=DEBUG"),
            ("--detach", "--set=LOG_LEVEL=ERROR", "--set=agent:AGENT_NAME=other"),
        ):
            before = [stack.pid(name) for name in ("api", "worker", "agent")]
            code, output = await everline(tmp_path, "up", *words)
            assert code == 0, output
            assert "agent was restarted with" in output
            assert "already running (pid" in output
            after = [stack.pid(name) for name in ("api", "worker", "agent")]
            assert not set(before) & set(after)
        environ = psutil.Process(stack.pid("agent")).environ()
        assert (environ["LOG_LEVEL"], environ["AGENT_NAME"]) == ("ERROR", "other")
        assert psutil.Process(stack.pid("worker")).environ()["LOG_LEVEL"] == "ERROR"
        assert stack.pid("temporal") == untouched
        await stack.end()


async def test_a_setting_that_is_in_force_restarts_nothing(tmp_path: Path) -> None:
    async with fake_stack(tmp_path) as stack:
        await stack.until("running")
        await everline(tmp_path, "up", "--set", "agent:LOG_LEVEL=DEBUG")
        code, output = await everline(tmp_path, "up", "--set", "agent:LOG_LEVEL=DEBUG")
        assert code == 0, output
        assert stack.events().count("start agent") == 2
        assert "restarted" not in output
        await stack.end()


async def test_a_part_that_is_left_out_gets_its_setting_when_it_is_started(tmp_path: Path) -> None:
    home = tmp_path
    async with fake_stack(home) as stack:
        await stack.until("running")
        await stack.stack.stop_part("agent")
        code, output = await everline(
            home, "up", "--without", "agent", "--set", "agent:AGENT_NAME=other"
        )
        assert code == 0, output
        assert "agent is left out; it gets AGENT_NAME when it is started" in output
        pid = await stack.stack.start_part("agent")
        assert psutil.Process(pid).environ()["AGENT_NAME"] == "other"
        await stack.end()


@pytest.fixture(scope="module")
async def unchanged(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Running]:
    """A running stack in which no test changes anything."""
    async with fake_stack(tmp_path_factory.mktemp("unchanged")) as stack:
        await stack.until("running")
        yield stack
        await stack.end()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--api-port", "4999"), "API is on port 4000; to move it to 4999, run `everline down`"),
        (("--livekit-udp-ports=9000-9001",), "LiveKit media over UDP is on port 7882-7885"),
        (("--without", "agent"), "agent is running; `everline stop agent` stops it"),
        (("--reload",), "it runs without --reload"),
        (("--set", "LOG_LEVEL=DEBUG", "--api-port=4999"), "nothing was changed"),
    ],
)
async def test_what_needs_a_restart_is_refused(
    unchanged: Running, words: tuple[str, ...], reason: str
) -> None:
    code, output = await everline(unchanged.home.root, "up", *words)
    assert code == 1
    assert reason in output
    assert "Everline is running" not in output
    assert (len(unchanged.events()), read_wanted(unchanged.home).settings) == (3, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [("SUMMARISER", "openai"), ("EVERLINE_DRAIN_SECONDS", "9"), ("EVERLINE_WITHOUT", "agent")],
)
async def test_a_variable_of_the_shell_that_does_not_reach_it_is_refused(
    unchanged: Running, name: str, value: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "--home", str(unchanged.home.root), "up"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {name: value},
    )
    output, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 1
    assert f"{name} of your shell does not reach it" in output.decode()


async def test_options_that_are_in_force_are_no_change(unchanged: Running) -> None:
    code, output = await everline(unchanged.home.root, "up", "--api-port", "4000", "--free-ports")
    assert (code, "already running" in output) == (0, True)
    assert (len(unchanged.events()), read_wanted(unchanged.home).settings) == (3, {})
