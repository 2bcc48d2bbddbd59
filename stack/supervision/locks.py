"""File locks that a crash cannot leave behind: the kernel releases them."""

import fcntl
import time
from io import BufferedWriter
from pathlib import Path

from stack.progress import Progress


def try_lock(path: Path) -> BufferedWriter | None:
    """Lock a file exclusively.

    Returns:
        The open file, which holds the lock until it is closed; None if another process holds it.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def wait_for_lock(path: Path, progress: Progress, title: str) -> BufferedWriter:
    """Lock a file (see `try_lock`), and show a step with this title while waiting for it."""
    lock = try_lock(path)
    if lock is not None:
        return lock
    with progress.step(title, "another process is doing it; waiting"):
        while (lock := try_lock(path)) is None:
            progress.remind()
            time.sleep(0.5)
    return lock


def is_locked(path: Path) -> bool:
    """Tell whether any process holds the lock."""
    try:
        # Opened read-only: the disk may have become read-only under a running stack.
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except BlockingIOError:
        return True
    return False
