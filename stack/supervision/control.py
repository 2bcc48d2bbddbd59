"""Changes a running stack, and waits for it."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence

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
    """Start and stop parts of a running stack, and wait until that is done.

    A running part whose settings change is restarted; a failed one is tried again.

    Args:
        home: The stack's home.
        start: Parts to start.
        stop: Parts to stop.
        settings: Environment variables to add, by part.

    Raises:
        StackError: The stack is not running, or a part did not start.
    """
    supervisor = find_supervisor(read_state(home))
    if supervisor is None:
        raise StackError(f"no stack is running in {home.root}; start it with `everline up`")
    wanted = read_wanted(home)
    wanted.left_out = [name for name in (*wanted.left_out, *stop) if name not in start]
    for part, values in (settings or {}).items():
        wanted.settings[part] = {**wanted.settings.get(part, {}), **values}
    wanted.revision += 1
    write_wanted(home, wanted)
    supervisor.send_signal(CHANGE_SIGNAL)
    # Until then, the state file describes the time before this change.
    for state in _poll(home):
        if state.wish >= wanted.revision:
            break
        if state.supervisor_pid is None:
            raise StackError(f"the stack of {home.root} ended meanwhile")
    else:
        raise StackError(
            f"the stack did not apply the change within {_LIMIT_SECONDS:.0f} s; "
            f"see {home.log('supervisor')}"
        )
    for name in start:
        await_running(home, name)


def await_running(home: Home, name: str, *, other_than: int | None = None) -> ProcessState:
    """Wait until a part is healthy, with another process id than `other_than`.

    Raises:
        StackError: It failed, or is not healthy in time.
    """
    return await_process(
        home,
        name,
        lambda process: process.state == "running" and process.pid not in (None, other_than),
    )


def await_started(home: Home) -> StackState:
    """Wait until a stack that is starting has started or failed."""
    state = read_state(home)
    for state in _poll(home):
        if not is_locked(home.lock):
            break
        if find_supervisor(state) is not None and state.state != "starting":
            break
    return state


def await_process(home: Home, name: str, condition: Callable[[ProcessState], bool]) -> ProcessState:
    """Wait until a part meets a condition.

    Raises:
        StackError: It failed, the stack ended, or three minutes have passed.
    """
    process = read_state(home).process(name)
    for state in _poll(home):
        process = state.process(name)
        if condition(process):
            return process
        if process.state == "failed" or state.supervisor_pid is None:
            reason = f": {process.reason}" if process.reason else ""
            raise StackError(f"{name} is {process.state}{reason}; log: {process.log}")
    raise StackError(
        f"{name} is still {process.state} after {_LIMIT_SECONDS:.0f} s "
        f"({process.reason or 'no reason known'}); log: {process.log}"
    )


def _poll(home: Home) -> Generator[StackState]:
    """Yield the stack's state again and again, for as long as anything is waited for."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    yield read_state(home)
    while time.monotonic() < deadline:
        time.sleep(0.05)
        yield read_state(home)
