"""The stack of the demo: the running one, or one that is started and stopped for it."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from stack.down import stop_stack
from stack.errors import StackError
from stack.layout.credentials import Credentials, read_credentials
from stack.layout.home import Home
from stack.progress import Progress
from stack.supervision.control import await_running, await_started
from stack.supervision.state import Urls, read_state
from stack.up import UpRequest, is_running, run_detached
from stack.waits import waiting_for

_NOT_STARTING = ("left_out", "failed", "stopped", "stopping")


@dataclass(frozen=True)
class DemoStack:
    """A running stack; `started` by the demo, or before it."""

    home: Home
    urls: Urls
    credentials: Credentials
    started: bool


@contextmanager
def complete_stack(
    home: Home, progress: Progress, *, keep: bool, free_ports: bool
) -> Generator[DemoStack]:
    """Provide a complete stack for the block, and leave it as it was found.

    With `keep`, a stack that was started here goes on; `free_ports` picks its ports.

    Raises:
        StackError: It cannot be started, or parts of it are missing.
    """
    started = not is_running(home)
    try:
        if started:
            _start(home, progress, free_ports=free_ports)
        with waiting_for("the running stack to start", progress.say):
            state = await_started(home)
        missing = [part for part in state.processes if part.state in _NOT_STARTING]
        if missing or not state.processes:
            names = " and ".join(f"{part.name} is {part.state}" for part in missing)
            raise StackError(
                f"the demo needs the whole stack, and {names or 'nothing is running'}; start it "
                "with `everline start NAME`, or `everline down` and let the demo start its own"
            )
        for part in state.processes:
            with waiting_for(f"{part.name} to be healthy", progress.say):
                await_running(home, part.name)
        credentials = read_credentials(home)
        if credentials is None:
            raise StackError(f"{home.root} has no credentials; `everline down` and try again")
        yield DemoStack(home, state.urls, credentials, started)
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
