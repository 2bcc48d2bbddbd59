"""The spool's private files: locks, durable writes, and what the API refused for good."""

import fcntl
import os
import shutil
from pathlib import Path

LOCK, TARGET = "lock", "target.json"
REJECTED, RECORDINGS = "rejected", "recordings"
TEMP_PREFIX = ".new-"


def temp_folder(path: Path) -> Path:
    """This process's name for an entry that comes into being or goes: nobody adopts it."""
    return path.with_name(f"{TEMP_PREFIX}{os.getpid()}-{path.name}")


def take_lock(path: Path) -> int | None:
    """Lock an entry's folder; returns the open lock, or None if another process holds it."""
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, and flush it to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename in it survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keep_rejected(path: Path, name: str, lines: bytes) -> None:
    """Append lines to a file in the entry's folder of `rejected/`.

    Raises:
        OSError: the disk does not accept them.
    """
    folder = _rejected_folder(path)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _append(folder / name, lines)


def discard_unreadable(path: Path, reason: str) -> None:
    """Move an entry without a readable target to `rejected/`, with the reason beside it."""
    folder = _rejected_folder(path)
    folder.parent.mkdir(exist_ok=True, mode=0o700)
    shutil.rmtree(folder, ignore_errors=True)
    path.rename(folder)
    (folder / TARGET).unlink(missing_ok=True)
    _append(folder / "reason.txt", f"{reason}\n".encode())


def _rejected_folder(path: Path) -> Path:
    """The spool has one such folder, for its entries and for those under `recordings/`."""
    spool = path.parent.parent if path.parent.name == RECORDINGS else path.parent
    return spool / REJECTED / path.name


def _append(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(data)
