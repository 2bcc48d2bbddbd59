"""Log files of a bounded size."""

from pathlib import Path

_LIMIT_BYTES = 20 * 1024 * 1024


def cap_log(log: Path, limit: int = _LIMIT_BYTES) -> None:
    """Move a log of more than `limit` bytes to `NAME.1`, replacing the previous one.

    The file is truncated, not renamed, because its process keeps appending to it.
    """
    if not log.exists() or log.stat().st_size <= limit:
        return
    older = log.with_name(f"{log.name}.1")
    try:
        with log.open("rb") as source, older.open("wb") as target:
            source.seek(-limit, 2)
            target.write(source.read())
    except OSError:
        # The disk is full: make room for new lines rather than keep old ones.
        older.unlink(missing_ok=True)
    with log.open("r+b") as file:
        file.truncate(0)


def tail(log: Path, lines: int) -> list[str]:
    """Return the last lines of a log; none if it does not exist."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 64 * 1024))
        return file.read().decode("utf-8", errors="replace").splitlines()[-lines:]


def new_lines(log: Path, position: int) -> tuple[list[str], int]:
    """Return the whole lines after a position in bytes, and the position after them.

    A log that is shorter than `position` was truncated: it is read from its beginning.
    """
    if not log.exists():
        return [], 0
    with log.open("rb") as file:
        file.seek(position if log.stat().st_size >= position else 0)
        position, text = file.tell(), file.read()
    whole = text[: text.rfind(b"\n") + 1]
    return whole.decode("utf-8", errors="replace").splitlines(), position + len(whole)
