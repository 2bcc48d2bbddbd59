"""What the API refused for good, kept for a person to look at."""

import shutil
from pathlib import Path

from agent.spool.files import append_private

REJECTED, RECORDINGS = "rejected", "recordings"
TARGET = "target.json"


def rejected_folder(path: Path) -> Path:
    """Where the rejected records of an entry lie: one folder for the whole spool."""
    spool = path.parent.parent if path.parent.name == RECORDINGS else path.parent
    return spool / REJECTED / path.name


def keep_rejected(path: Path, name: str, lines: bytes) -> None:
    """Append lines to a file in the entry's folder of `rejected/`.

    Raises:
        OSError: the disk does not take them.
    """
    folder = rejected_folder(path)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    append_private(folder / name, lines)


def discard_unreadable(path: Path, reason: str) -> None:
    """Move an entry without a readable target to `rejected/`, with the reason beside it."""
    folder = rejected_folder(path)
    folder.parent.mkdir(exist_ok=True, mode=0o700)
    shutil.rmtree(folder, ignore_errors=True)
    path.rename(folder)
    (folder / TARGET).unlink(missing_ok=True)
    append_private(folder / "reason.txt", f"{reason}\n".encode())
