"""The stack of the demo: the running one, or one that is started and stopped for it."""

import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from stack.down import stop_stack
from stack.errors import StackError
from stack.layout.credentials import Credentials, read_credentials
from stack.layout.home import Home
from stack.progress import Progress
from stack.supervision.control import await_started
from stack.supervision.state import StackState, Urls, read_state
from stack.up import UpRequest, is_running, run_detached

_NOT_RESTARTING = ("left_out", "failed", "stopped", "stopping")
_RESTART_SECONDS = 60.0


@dataclass(frozen=True)
class Stage:
    """A running stack.

    Attributes:
        started: Whether the demo started it.
        stays: Whether it keeps running after the demo.
    """

    home: Home
    urls: Urls
    credentials: Credentials
    started: bool
    stays: bool


@contextmanager
def standing_stack(
    home: Home, progress: Progress, *, keep: bool, free_ports: bool
) -> Generator[Stage]:
    """Provide a complete stack for the block, and leave it as it was found.

    Args:
        home: The stack's home.
        progress: Shows what is built, started and stopped.
        keep: Do not stop a stack that was started here.
        free_ports: Pick free ports for a new stack.

    Raises:
        StackError: It cannot be started, or parts of it are missing.
    """
    started = not is_running(home)
    try:
        if started:
            _start(home, progress, free_ports=free_ports)
        await_started(home)
        state = _await_all_parts(home)
        credentials = read_credentials(home)
        if credentials is None:
            raise StackError(f"{home.root} has no credentials; `everline down` and try again")
        yield Stage(home, state.urls, credentials, started, stays=keep or not started)
    finally:
        if started and not keep:
            stop_stack(home, progress)


def _start(home: Home, progress: Progress, *, free_ports: bool) -> None:
    home.create()
    arguments = ["--free-ports"] if free_ports else []
    if run_detached(home, UpRequest(free_ports=free_ports, arguments=arguments), progress) != 0:
        failed = [part.name for part in read_state(home).processes if part.state == "failed"]
        logs = " and ".join(str(home.log(name)) for name in failed or ["supervisor"])
        raise StackError(
            f"the stack did not start; see {logs}\n"
            "If its ports are taken, let it pick others: make demo ARGS=--free-ports"
        )


def _await_all_parts(home: Home) -> StackState:
    """Wait for parts that are restarting; fail if others are not running."""
    deadline = time.monotonic() + _RESTART_SECONDS
    while True:
        state = read_state(home)
        absent = [part for part in state.processes if part.state != "running"]
        if not absent and state.processes:
            return state
        hopeless = [part for part in absent if part.state in _NOT_RESTARTING]
        if hopeless or not state.processes or time.monotonic() > deadline:
            names = " and ".join(f"{part.name} is {part.state}" for part in hopeless or absent)
            raise StackError(
                f"the demo needs the whole stack, and {names or 'none runs'}; start it with "
                "`everline start NAME`, or `everline down` and let the demo start its own"
            )
        time.sleep(0.2)


@contextmanager
def interruptible() -> Generator[None]:
    """Let SIGTERM and SIGHUP interrupt the block as Ctrl-C does, so that it cleans up."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
