"""The spool's private files: locks, durable writes, its id, and what the API refused for good."""

import fcntl
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

import structlog

log = structlog.stdlib.get_logger(__name__)

LOCK, TARGET = "lock", "target.json"
REJECTED, RECORDINGS = "rejected", "recordings"
TEMP_PREFIX = ".new-"
_ID = ".id"


def spool_id(spool: Path) -> str | None:
    """The directory's persistent id, which tells whether its recordings are in reach or lost.

    Created on first use. None if the disk cannot be used: calls and heartbeats continue without it.
    """
    file = spool / _ID
    try:
        if not file.exists():
            spool.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch = spool / f"{_ID}-{uuid.uuid4().hex}"
            try:
                scratch.write_text(uuid.uuid4().hex)
                # A link appears complete, and never replaces another process's file.
                with suppress(FileExistsError):
                    os.link(scratch, file)
            finally:
                scratch.unlink(missing_ok=True)
        return file.read_text()
    except OSError as error:
        log.error("spool_without_id", error=str(error))
        return None


def temp_folder(path: Path) -> Path:
    """This process's name for an entry that is being created or removed: nobody adopts it."""
    return path.with_name(f"{TEMP_PREFIX}{os.getpid()}-{path.name}")


def take_lock(path: Path) -> int:
    """Lock an entry's folder; returns the open lock.

    Raises:
        BlockingIOError: another process holds it.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, and flush it to the disk."""
    path.unlink(missing_ok=True)
    append_private(path, text.encode())


def append_private(path: Path, data: bytes) -> int:
    """Append all or nothing to such a file, and flush it to the disk; returns its new size.

    Raises:
        OSError: the disk does not accept it.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    before = os.fstat(descriptor).st_size
    try:
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)
    except OSError:
        # A partial line would corrupt the next record.
        os.ftruncate(descriptor, before)
        raise
    finally:
        os.close(descriptor)
    return before + len(data)


def keep_rejected(path: Path, name: str, lines: bytes) -> None:
    """Append lines to a file in the entry's folder of `rejected/`.

    Raises:
        OSError: the disk does not accept them.
    """
    folder = _rejected_folder(path)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    append_private(folder / name, lines)


def discard_unreadable(path: Path, reason: str) -> None:
    """Move an entry without a readable target to `rejected/`, with the reason beside it."""
    folder = _rejected_folder(path)
    folder.parent.mkdir(exist_ok=True, mode=0o700)
    shutil.rmtree(folder, ignore_errors=True)
    path.rename(folder)
    (folder / TARGET).unlink(missing_ok=True)
    append_private(folder / "reason.txt", f"{reason}\n".encode())


def _rejected_folder(path: Path) -> Path:
    """The spool has one such folder, for its entries and for those under `recordings/`."""
    spool = path.parent.parent if path.parent.name == RECORDINGS else path.parent
    return spool / REJECTED / path.name
