"""The processes of a stack: start one, wait for it, stop it; find those that were left behind."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from stack.layout.home import Home
from stack.supervision import parent_death

STACK_MARK = "EVERLINE_STACK"
"""Environment variable of every process of a stack; its value is the path of the home."""


async def start_process(
    command: Sequence[str | Path], environment: Mapping[str, str], home: Home, log: Path
) -> Process:
    """Start a program and append its output to a log file.

    It has a group of its own, so that Ctrl-C reaches only the supervisor. Its working directory is
    the home, so that it reads no `.env` or configuration file of another folder.

    Raises:
        OSError: The program could not be started.
    """
    tie = [sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid())]
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *(*tie, *map(str, command)),
            cwd=home.root,
            env={**environment, STACK_MARK: str(home.root)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )


async def wait_for_exit(process: Process, seconds: float) -> int | None:
    """Wait until a process ends, `seconds` at most; returns its exit code, or None if it runs."""
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), seconds)
    return process.returncode


async def stop_process(process: Process, grace: float) -> bool:
    """Terminate a process, then kill its group after `grace` seconds; returns if it was in time."""
    if process.returncode is None:
        process.terminate()
    in_time = await wait_for_exit(process, grace) is not None
    kill_group(process)
    await process.wait()
    return in_time


def kill_group(process: Process) -> None:
    """Kill a process and everything it started."""
    # macOS answers PermissionError when only a zombie is left of the group.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def describe_exit(code: int) -> str:
    """Say how a process ended: `ended with code 1`, `was killed by SIGKILL`."""
    if code >= 0:
        return f"ended with code {code}"
    numbers = {number.value: number.name for number in signal.Signals}
    return f"was killed by {numbers.get(-code, f'signal {-code}')}"


def find_leftovers(home: Home) -> list[psutil.Process]:
    """Find all processes whose environment names this home.

    This needs no state file, and cannot mistake another process with a recycled process id.
    """
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        # Other users' processes, and those that have just ended, are not ours.
        with suppress(psutil.Error, OSError):
            ours = process.environ().get(STACK_MARK) == str(home.root)
            if ours and process.pid != os.getpid():
                found.append(process)
    return found


def stop_leftovers(processes: list[psutil.Process], grace: float) -> None:
    """Terminate processes, and kill those that are still there after `grace` seconds."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, remaining = psutil.wait_procs(processes, timeout=grace)
    for process in remaining:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(remaining, timeout=5)
