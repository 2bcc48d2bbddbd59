"""The processes of a stack: start one, wait for it, stop it; find those that were left behind."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from stack.layout.home import Home
from stack.supervision import parent_death

STACK_MARK = "EVERLINE_STACK"
"""Environment variable of every process of a stack; its value is the path of the home."""


class Child:
    """A process in a group of its own, so that Ctrl-C reaches only the supervisor.

    Attributes:
        started: Unix time of its start, in seconds.
        pid: Its process id, which is also its group's id.
    """

    def __init__(self, process: asyncio.subprocess.Process, started: float) -> None:
        self._process = process
        self.started = started
        self.pid = process.pid

    @classmethod
    async def start(
        cls, command: Sequence[str | Path], environment: Mapping[str, str], home: Home, log: Path
    ) -> "Child":
        """Start a program and append its output to a log file.

        Its working directory is the home, so that it reads no `.env` or configuration file of
        another folder.

        Raises:
            OSError: The program could not be started.
        """
        tie = [sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid())]
        with log.open("ab") as output:
            started = time.time()
            process = await asyncio.create_subprocess_exec(
                *(*tie, *map(str, command)),
                cwd=home.root,
                env={**environment, STACK_MARK: str(home.root)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, started)

    @property
    def exit_code(self) -> int | None:
        """Its exit code (negative: the number of the signal); None while it runs."""
        return self._process.returncode

    async def wait(self, seconds: float) -> int | None:
        """Wait until it ends, `seconds` at most; returns its exit code, or None while it runs."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), seconds)
        return self.exit_code

    async def stop(self, grace: float) -> bool:
        """Terminate it, and kill its whole group after `grace` seconds at most.

        Returns:
            Whether it ended without being killed.
        """
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)
        in_time = await self.wait(grace) is not None
        self.kill_group()
        await self._process.wait()
        return in_time

    def kill_group(self) -> None:
        """Kill the process and everything it started."""
        # macOS answers PermissionError when only a zombie is left of the group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


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
