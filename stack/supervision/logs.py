"""Log files that cannot fill a disk."""

from pathlib import Path

_LIMIT_BYTES = 20 * 1024 * 1024


def cap_log(log: Path, limit: int = _LIMIT_BYTES) -> None:
    """Move a log that has grown past `limit` bytes to `NAME.1`, replacing the one before.

    The file itself is emptied, not renamed: its process has it open for appending and goes on at
    its new end.
    """
    if not log.exists() or log.stat().st_size <= limit:
        return
    older = log.with_name(f"{log.name}.1")
    try:
        with log.open("rb") as source, older.open("wb") as target:
            source.seek(-limit, 2)
            target.write(source.read())
    except OSError:
        # The disk is full: room for what is written now is worth more than what was before.
        older.unlink(missing_ok=True)
    with log.open("r+b") as file:
        file.truncate(0)


def tail(log: Path, lines: int) -> list[str]:
    """Return the last lines of a log; none when there is no log."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 64 * 1024))
        text = file.read().decode("utf-8", errors="replace")
    return text.splitlines()[-lines:]
