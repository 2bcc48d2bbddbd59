"""One child process: start it, wait for it, stop it."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

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
        tied = [sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid())]
        with log.open("ab") as output:
            started = time.time()
            process = await asyncio.create_subprocess_exec(
                *tied,
                *map(str, command),
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

    async def wait(self) -> int:
        """Wait until it ends; returns its exit code."""
        return await self._process.wait()

    async def stop(self, grace: float) -> bool:
        """Terminate it, and kill its whole group after `grace` seconds at most.

        Returns:
            Whether it ended without being killed.
        """
        in_time = True
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.wait(), grace)
            except TimeoutError:
                in_time = False
        self.kill_group()
        await self.wait()
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
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # Python has no name for this signal
        return f"was killed by signal {-code}"
