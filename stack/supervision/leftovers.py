"""Processes that an earlier run of this stack left behind, for example after `kill -9`."""

import os
from contextlib import suppress

import psutil

from stack.layout.home import Home
from stack.supervision.child import STACK_MARK


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
