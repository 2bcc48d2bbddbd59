"""What a supervisor does with a part that lives and does not do its work."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from temporalio.client import Client

from stack.binaries import TEMPORAL
from stack.layout.credentials import generate_credentials
from stack.layout.environment import Addresses, Plan, machine_environment
from stack.layout.home import Home
from stack.layout.parts import Part, all_parts
from stack.layout.ports import Ports
from stack.layout.wanted import Wanted
from stack.progress import Progress
from stack.supervision.health import CannotTellError, NotHealthyError, temporal_serves
from stack.supervision.process_supervisor import ProcessSupervisor
from tests.servers import free_port, locate_for_tests
from tests.waiting import eventually

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")
GOOD = None
BAD = NotHealthyError("it does nothing")
UNKNOWN = CannotTellError("nobody tells")
Outcome = NotHealthyError | None


@dataclass
class Script:
    """A check that answers as written, and well once that is over.

    Attributes:
        outcomes: What it answers, in this order; the first is for the start.
        seen: By which process (its start time) each answer was given.
    """

    outcomes: Sequence[Outcome]
    seen: list[float] = field(default_factory=list[float])

    async def __call__(self, since: float) -> None:
        self.seen.append(since)
        number = len(self.seen) - 1
        if number < len(self.outcomes) and (problem := self.outcomes[number]) is not None:
            raise problem

    def checks_by_process(self) -> list[int]:
        """How many checks each process had while the script went on, in order."""
        used = self.seen[: len(self.outcomes)]
        return [used.count(started) for started in dict.fromkeys(used)]

    def is_over(self) -> bool:
        return len(self.seen) > len(self.outcomes)


def sleeper(script: Script) -> Part:
    return Part("api", SLEEPER, dict(os.environ), script, check_seconds=0.01, misses=3)


def supervisor(
    home: Home, part: Part, output: StringIO, *needs: ProcessSupervisor
) -> ProcessSupervisor:
    progress = Progress(Console(file=output, width=300))
    return ProcessSupervisor(part, home, progress, lambda: None, lambda: needs)


@asynccontextmanager
async def kept(
    home: Home, part: Part, *needs: ProcessSupervisor
) -> AsyncGenerator[tuple[ProcessSupervisor, StringIO]]:
    """A process at work, and what it prints."""
    home.create()
    output = StringIO()
    process = supervisor(home, part, output, *needs)
    life = asyncio.create_task(process.keep())
    try:
        yield process, output
        assert not life.done()
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        process.kill()
        await process.stop()


async def test_a_part_that_stays_unhealthy_is_killed_and_started_again(tmp_path: Path) -> None:
    script = Script([GOOD, BAD, BAD, BAD, GOOD])
    async with kept(Home(tmp_path), sleeper(script)) as (process, output):
        await eventually(lambda: script.is_over() and process.healthy)
        assert process.state.restarts == 1
        assert process.state.last_restart == (
            "failed 3 checks in a row (it does nothing) and was killed"
        )
    assert script.checks_by_process() == [4, 1]
    assert "! api failed 3 checks in a row (it does nothing) and was killed" in output.getvalue()


async def test_a_part_that_is_slow_for_a_while_is_left_alone(tmp_path: Path) -> None:
    script = Script([GOOD, *[BAD, BAD, GOOD] * 5])
    async with kept(Home(tmp_path), sleeper(script)) as (process, _):
        await eventually(lambda: script.is_over() and process.healthy)
        assert process.state.restarts == 0


async def test_a_part_is_not_restarted_for_what_nobody_can_tell(tmp_path: Path) -> None:
    script = Script([GOOD, *[UNKNOWN] * 10, BAD, BAD, UNKNOWN, BAD, BAD, GOOD])
    async with kept(Home(tmp_path), sleeper(script)) as (process, _):
        await eventually(lambda: script.is_over() and process.healthy)
        assert process.state.restarts == 0


async def test_a_part_is_not_restarted_for_the_fault_of_another(tmp_path: Path) -> None:
    script = Script([GOOD, *[BAD] * 1_000_000])
    other = supervisor(Home(tmp_path), sleeper(Script([])), StringIO())
    other.ready, other.state.state = True, "unhealthy"
    async with kept(Home(tmp_path), sleeper(script), other) as (process, _):
        await eventually(lambda: len(script.seen) > 20)
        assert (process.state.state, process.state.restarts) == ("unhealthy", 0)
        assert process.state.reason == "it does nothing"
        other.state.state = "running"
        await eventually(lambda: process.state.restarts > 0)


async def test_restarts_that_do_not_help_become_rarer(tmp_path: Path) -> None:
    script = Script(
        [GOOD, *[BAD] * 3, GOOD, *[BAD] * 6, GOOD, *[BAD] * 12]
        # Well for long: the next time counts as the first.
        + [GOOD] * 60
        + [BAD] * 3
    )
    async with kept(Home(tmp_path), sleeper(script)) as (process, _):
        await eventually(lambda: script.is_over() and process.healthy)
    assert script.checks_by_process() == [4, 7, 13, 63]


async def test_a_frozen_process_is_killed_and_started_again(tmp_path: Path) -> None:
    script = Script([])
    async with kept(Home(tmp_path), sleeper(script)) as (process, output):
        await eventually(lambda: process.healthy)
        frozen = process.state.pid
        assert frozen is not None
        os.kill(frozen, signal.SIGSTOP)
        await eventually(lambda: process.healthy and process.state.pid not in (frozen, None))
        assert process.state.restarts == 1
        with pytest.raises(ProcessLookupError):
            os.kill(frozen, 0)
    assert "its process is stopped, as by SIGSTOP" in output.getvalue()


async def test_a_wedged_temporal_is_killed_and_started_again(tmp_path: Path) -> None:
    port = free_port()
    command = (sys.executable, "-m", "tests.fakes.wedging_temporal", str(port))
    part = Part(
        "temporal",
        command,
        dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parents[2])},
        temporal_serves(f"127.0.0.1:{port}", "default", None),
        check_seconds=0.05,
        misses=3,
    )
    async with kept(Home(tmp_path), part) as (process, output):
        await eventually(lambda: process.healthy)
        wedged = process.state.pid
        assert wedged is not None
        os.kill(wedged, signal.SIGUSR1)
        await eventually(lambda: process.healthy and process.state.pid not in (wedged, None))
        assert process.state.restarts == 1
    assert "Temporal's database cannot be read and written" in output.getvalue()
    assert "interrupted (9)" in output.getvalue()


async def test_a_frozen_temporal_is_restarted_and_knows_its_workflows(tmp_path: Path) -> None:
    address, part = real_temporal(Home(tmp_path))
    async with kept(Home(tmp_path), replace(part, check_seconds=0.2, misses=3)) as (process, _):
        await eventually(lambda: process.healthy)
        await (await Client.connect(address)).start_workflow("Nobody", id="kept", task_queue="none")
        frozen = process.state.pid
        assert frozen is not None
        os.kill(frozen, signal.SIGSTOP)
        await eventually(lambda: process.healthy and process.state.pid not in (frozen, None))
        assert process.state.restarts == 1
        handle = (await Client.connect(address)).get_workflow_handle("kept")
        assert (await handle.describe()).id == "kept"


async def test_a_temporal_that_reads_and_cannot_write_is_not_healthy(tmp_path: Path) -> None:
    address, part = real_temporal(Home(tmp_path))
    async with kept(Home(tmp_path), part) as (process, _):
        await eventually(lambda: process.healthy)
        await part.check(0.0)
        blocker = sqlite3.connect(Home(tmp_path).temporal_database, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotHealthyError, match="cannot be read and written"):
            await part.check(0.0)
        await Client.connect(address)
        blocker.execute("ROLLBACK")
        blocker.close()
        await eventually(lambda: passes(part))


def test_a_freeze_of_a_quarter_of_a_minute_is_within_all_limits() -> None:
    for part in parts_of(Home(Path("/nowhere")), Ports(), Path("temporal")):
        assert (part.misses - 2) * part.check_seconds >= 15, part.name


async def passes(part: Part) -> bool:
    try:
        await part.check(0.0)
    except NotHealthyError:
        return False
    return True


def parts_of(home: Home, ports: Ports, temporal: Path) -> list[Part]:
    binaries = {TEMPORAL.name: temporal, "livekit-server": Path("livekit-server")}
    environ, keys = machine_environment(os.environ), generate_credentials()
    return all_parts(Plan(home, keys, Addresses(ports), binaries, Wanted(), environ))


def real_temporal(home: Home) -> tuple[str, Part]:
    """The part of a real stack, on free ports, and its front-end's address."""
    home.create()
    ports = Ports(temporal=free_port(), temporal_ui=free_port())
    parts = parts_of(home, ports, locate_for_tests(TEMPORAL))
    (part,) = (part for part in parts if part.name == "temporal")
    return f"127.0.0.1:{ports.temporal}", part
