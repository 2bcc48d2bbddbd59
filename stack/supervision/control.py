"""Changing a stack while it runs."""

import time
from collections.abc import Callable, Mapping, Sequence

from stack.errors import StackError
from stack.layout.home import Home
from stack.layout.wanted import read_wanted, write_wanted
from stack.supervision.locks import is_locked
from stack.supervision.state import ProcessState, StackState, find_supervisor, read_state
from stack.supervision.supervisor import CHANGE_SIGNAL

_LIMIT_SECONDS = 180.0


def change_parts(
    home: Home,
    *,
    start: Sequence[str] = (),
    stop: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Start and stop parts of a running stack and wait until that is done.

    A part that runs already and gets other settings is started again with them; one that failed is
    tried again.

    Args:
        home: The stack's home.
        start: Parts that shall run.
        stop: Parts that shall not.
        settings: Environment variables to add, by part.

    Raises:
        StackError: The stack does not run, or a part did not start.
    """
    supervisor = find_supervisor(read_state(home))
    if supervisor is None:
        raise StackError(f"no stack runs in {home.root}; start it with `everline up`")
    wanted = read_wanted(home)
    wanted.left_out = [name for name in (*wanted.left_out, *stop) if name not in start]
    for part, values in (settings or {}).items():
        wanted.settings[part] = {**wanted.settings.get(part, {}), **values}
    wanted.revision += 1
    write_wanted(home, wanted)
    supervisor.send_signal(CHANGE_SIGNAL)
    # Until then, what the state says of a part is of the time before this change.
    _await_taken_up(home, wanted.revision)
    for name in start:
        await_running(home, name)


def await_running(home: Home, name: str, *, other_than: int | None = None) -> ProcessState:
    """Wait until a part is healthy.

    Args:
        home: The stack's home.
        name: The part.
        other_than: A process id that does not count, because its process was ended.

    Raises:
        StackError: It failed, or is not healthy in time.
    """
    return await_process(
        home,
        name,
        lambda process: process.state == "running" and process.pid not in (None, other_than),
    )


def await_started(home: Home) -> StackState:
    """Wait until a stack that somebody started is not just starting any more."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    state = read_state(home)
    while is_locked(home.lock) and time.monotonic() < deadline:
        if find_supervisor(state) is not None and state.state != "starting":
            break
        time.sleep(0.1)
        state = read_state(home)
    return state


def await_process(home: Home, name: str, condition: Callable[[ProcessState], bool]) -> ProcessState:
    """Wait until a part is as wished.

    Raises:
        StackError: It failed, the stack ended, or the limit of three minutes is over.
    """
    deadline = time.monotonic() + _LIMIT_SECONDS
    while True:
        state = read_state(home)
        process = state.process(name)
        if condition(process):
            return process
        if process.state == "failed" or state.supervisor_pid is None:
            raise StackError(
                f"{name} is {process.state}{f': {process.reason}' if process.reason else ''}; "
                f"log: {process.log}"
            )
        if time.monotonic() > deadline:
            raise StackError(
                f"{name} is still {process.state} after {_LIMIT_SECONDS:.0f} s "
                f"({process.reason or 'no reason known'}); log: {process.log}"
            )
        time.sleep(0.05)


def _await_taken_up(home: Home, revision: int) -> None:
    deadline = time.monotonic() + _LIMIT_SECONDS
    while (state := read_state(home)).wish < revision:
        if state.supervisor_pid is None:
            raise StackError(f"the stack of {home.root} ended meanwhile")
        if time.monotonic() > deadline:
            raise StackError(
                f"the stack did not take up the change within {_LIMIT_SECONDS:.0f} s; "
                f"see {home.log('supervisor')}"
            )
        time.sleep(0.05)
