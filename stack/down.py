"""`everline down`: stops a stack and everything that it started."""

from stack.errors import StackError
from stack.layout.home import Home
from stack.progress import Progress
from stack.supervision.control import await_end
from stack.supervision.locks import is_locked
from stack.supervision.processes import find_leftovers, stop_leftovers
from stack.supervision.state import find_supervisor, read_state

_LEFTOVER_GRACE = 15.0


def stop_stack(home: Home, progress: Progress) -> bool:
    """Stop the stack of a home; returns whether anything was running.

    Raises:
        StackError: Its supervisor does not end.
    """
    running = is_locked(home.lock)
    if running:
        supervisor = find_supervisor(read_state(home))
        if supervisor is None:
            raise StackError(f"the stack of {home.root} is just starting; try again in a moment")
        with progress.step("stop", f"log: {home.log('supervisor')}"):
            supervisor.terminate()
            await_end(home, progress.remind)
    leftovers = find_leftovers(home)
    if leftovers:
        with progress.step("clean up", f"{len(leftovers)} processes that were left"):
            stop_leftovers(leftovers, _LEFTOVER_GRACE)
    return running or bool(leftovers)
