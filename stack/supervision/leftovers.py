"""Processes that an earlier stack of this home left behind, after a `kill -9` for instance."""

import os

import psutil

from stack.layout.home import Home
from stack.supervision.child import STACK_MARK


def find_leftovers(home: Home) -> list[psutil.Process]:
    """Find all processes that carry this home's mark.

    The mark is read from the processes themselves, so that this works without any state file and
    can never mean a stranger that got a recorded process id.
    """
    mark = str(home.root)
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.environ().get(STACK_MARK) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # another user's, or gone: not one of ours
    return found


def stop_leftovers(processes: list[psutil.Process], grace: float) -> None:
    """Ask processes to end, and end by force those that have not after `grace` seconds."""
    for process in processes:
        _signal(process.terminate)
    _, stubborn = psutil.wait_procs(processes, timeout=grace)
    for process in stubborn:
        _signal(process.kill)
    psutil.wait_procs(stubborn, timeout=5)


def _signal(send: object) -> None:
    assert callable(send)
    try:
        send()
    except psutil.NoSuchProcess:
        return  # went by itself
