"""One running process: how it is started, watched and ended."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.layout.home import Home
from stack.supervision import parent_death

STACK_MARK = "EVERLINE_STACK"
"""Environment variable by which the processes of one stack are recognised: its home's path."""


class Child:
    """A process in a group of its own, so that Ctrl-C reaches the supervisor alone."""

    def __init__(self, process: asyncio.subprocess.Process, started: float) -> None:
        self._process = process
        self.started = started

    @classmethod
    async def start(
        cls, command: Sequence[str | Path], environment: Mapping[str, str], home: Home, log: Path
    ) -> "Child":
        """Start a program with its output appended to a log file.

        Args:
            command: Program and arguments; the program by its path.
            environment: Its whole environment.
            home: The stack it belongs to; also its working directory, so that no `.env` or
                configuration file of another folder is picked up.
            log: Where its output goes.

        Raises:
            OSError: The program could not be started.
        """
        tied = [sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid())]
        with log.open("ab") as output:
            started = time.time()
            process = await asyncio.create_subprocess_exec(
                *tied,
                *(str(word) for word in command),
                cwd=home.root,
                env={**environment, STACK_MARK: str(home.root)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, started)

    @property
    def pid(self) -> int:
        """Its process id, which is its group's id too."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: by which signal), or nothing while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end."""
        return await self._process.wait()

    async def stop(self, grace: float) -> bool:
        """Ask it to end, and end it by force after `grace` seconds, with all that it started.

        Returns:
            Whether it went by itself.
        """
        willing = True
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.wait(), grace)
            except TimeoutError:
                willing = False
        self.kill_group()
        await self.wait()
        return willing

    def kill_group(self) -> None:
        """End the process and everything it started, at once."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # all gone already
        except PermissionError:
            return  # macOS answers so when only a zombie is left of the group


def describe_exit(code: int) -> str:
    """Say how a process ended: `ended with code 1`, `was killed by SIGKILL`."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # a signal that Python has no name for
        return f"was killed by signal {-code}"
