"""Changes a running stack, and waits for it."""

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
    """Start and stop parts of a running stack, and wait until that is done.

    A running part whose settings (environment variables by part) change is restarted; a failed one
    is tried again.

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
    # The state file describes the time before the change until it has this revision.
    state = _poll(home, lambda s: s.revision >= wanted.revision or s.supervisor_pid is None)
    if state.revision < wanted.revision:
        raise StackError(
            f"the stack of {home.root} did not apply the change within {_LIMIT_SECONDS:.0f} s, "
            f"or ended meanwhile; see {home.log('supervisor')}"
        )
    for name in start:
        await_running(home, name)


def await_started(home: Home) -> StackState:
    """Wait until a stack that is starting has started or failed, three minutes at most."""

    def over(state: StackState) -> bool:
        known = find_supervisor(state) is not None
        return (known and state.state != "starting") or not is_locked(home.lock)

    return _poll(home, over)


def await_end(home: Home, waiting: Callable[[], None] = lambda: None) -> None:
    """Wait until the supervisor has ended, calling `waiting` again and again.

    Raises:
        StackError: It did not end in time.
    """

    def ended(_: StackState) -> bool:
        waiting()
        return not is_locked(home.lock)

    _poll(home, ended)
    if is_locked(home.lock):
        log = home.log("supervisor")
        raise StackError(f"the stack did not stop within {_LIMIT_SECONDS:.0f} s; see {log}")


def await_running(home: Home, name: str, *, other_than: int | None = None) -> ProcessState:
    """Wait until a part is healthy, with another process id than `other_than`.

    Raises:
        StackError: It failed, the stack ended, or three minutes have passed.
    """

    def runs(state: StackState) -> bool:
        process = state.process(name)
        return process.state == "running" and process.pid not in (None, other_than)

    def over(state: StackState) -> bool:
        return state.supervisor_pid is None or state.process(name).state == "failed" or runs(state)

    state = _poll(home, over)
    process = state.process(name)
    if runs(state):
        return process
    still = "" if over(state) else f" after {_LIMIT_SECONDS:.0f} s"
    reason = f" ({process.reason})" if process.reason else ""
    raise StackError(f"{name} is {process.state}{still}{reason}; log: {process.log}")


def _poll(home: Home, done: Callable[[StackState], bool]) -> StackState:
    """Return the stack's state as soon as it is as expected, or after the time limit."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not done(state := read_state(home)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return state
