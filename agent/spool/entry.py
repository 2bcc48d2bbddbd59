"""One entry of the spool: an append-only file of records, and where they have to go.

    <spool>/<digest>-<attempt>-<job>/target.json    where to deliver to, with the token (mode 0600)
                                     records.jsonl  one record a line, flushed to the disk
                                     cursor         bytes of it that are delivered
                                     lock           held (flock) by the process that delivers
                                     recording.*    the call's recording, until it is uploaded
    <spool>/rejected/...                            what the API refused for good
    <spool>/recordings/<entry>/...                  entries with nothing but a recording left

A process releases its lock when it dies; the entry then belongs to whoever takes the lock next.
Records are delivered at least once: the receiver deduplicates them by their keys.
"""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import structlog
from pydantic import ValidationError

from agent.spool.files import (
    RECORDINGS,
    TARGET,
    append_private,
    discard_unreadable,
    keep_rejected,
    take_lock,
    temp_folder,
    write_private,
)
from agent.spool.record import Pending, Record, Target
from domain.json_model import FROM_ANOTHER_VERSION
from domain.recordings.recording import CallRecording

log = structlog.stdlib.get_logger(__name__)

_RECORDING, _SOUND = "recording.json", "recording.ogg"
_RECORDS, _CURSOR = "records.jsonl", "cursor"
_UNREADABLE = "unreadable.jsonl"


class SpoolEntry:
    """An entry whose lock this process holds; only one thread may use it at a time.

    Without a lock it is new, and `open` or the first record writes it to the disk.
    """

    def __init__(self, path: Path, target: Target, lock: int | None = None) -> None:
        self.path = path
        self.target = target
        self._lock = lock
        self.sound = path / _SOUND
        """The file into which the call is recorded."""
        self._records = path / _RECORDS
        self._rejection: str | None = None
        self._log = log.bind(entry=path.name)

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """Take over an entry whose owner is gone; None if it is owned or was removed.

        If its target cannot be read, it is moved to `rejected/`.

        Raises:
            OSError: it cannot be opened.
        """
        try:
            lock = take_lock(path)
        except (FileNotFoundError, BlockingIOError):
            return None
        with ExitStack() as undo:
            undo.callback(os.close, lock)
            try:
                target = Target.model_validate_json(
                    (path / TARGET).read_bytes(), context=FROM_ANOTHER_VERSION
                )
            except (FileNotFoundError, ValidationError) as error:
                if path.exists():
                    # Without the values, one of which is the token.
                    reason = f"{TARGET} cannot be read: {type(error).__name__}"
                    log.error("spool_entry_unreadable", entry=path.name, error=reason)
                    discard_unreadable(path, reason)
                return None
            undo.pop_all()
        return cls(path, target, lock)

    def open(self) -> None:
        """Write a new entry to the disk.

        Raises:
            OSError: the disk does not accept it.
        """
        if self._lock is not None:
            return
        spool, temp = self.path.parent, temp_folder(self.path)
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        temp.mkdir(mode=0o700)
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, temp, ignore_errors=True)
            # Locked before the rename, so that a drainer never sees it without an owner.
            lock = take_lock(temp)
            undo.callback(os.close, lock)
            write_private(temp / TARGET, self.target.model_dump_json())
            temp.rename(self.path)
            undo.pop_all()
        self._lock = lock
        # So that the rename survives a power failure.
        folder = os.open(spool, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def save(self, records: Sequence[Pending]) -> None:
        """Write those that only memory holds, in order, as far as the disk accepts them.

        If the entry was rejected, they are set aside, as the others were.
        """
        unsaved = [each for each in records if each.end is None]
        if not unsaved:
            return
        if self._rejection is not None:
            self.set_aside(unsaved, self._rejection)
            return
        try:
            self.open()
            for each in unsaved:
                line = each.record.model_dump_json().encode() + b"\n"
                each.end = append_private(self._records, line)
        except OSError as error:
            held = sum(each.end is None for each in unsaved)
            self._log.error("spool_write_failed", error=str(error), held_in_memory=held)

    def pending(self) -> list[Pending]:
        """The undelivered records on the disk, in order, without unreadable lines."""
        return pending_records(self.path)

    def advance(self, delivered: Sequence[Pending]) -> None:
        """Remember on the disk that these records and all before them are delivered."""
        end = max((each.end or 0 for each in delivered), default=0)
        if not end:
            return
        scratch = self.path / f"{_CURSOR}.new"
        try:
            scratch.write_text(str(end))
            scratch.replace(self.path / _CURSOR)
        except OSError as error:
            # The next owner would deliver them again, which is harmless.
            self._log.warning("spool_cursor_not_written", error=str(error))

    def keep_unreadable(self) -> None:
        """Set aside the unreadable lines, such as those of a newer version.

        A last line that a kill cut short is not kept.

        Raises:
            OSError: the disk does not accept it.
        """
        lines, cut = _lines(self.path)
        if cut:
            self._log.warning("spool_tail_cut", bytes=len(cut))
        if unread := [line for line in lines if Record.parse(line) is None]:
            self._log.error("spool_records_set_aside", records=len(unread))
            keep_rejected(self.path, _UNREADABLE, b"".join(unread))

    def set_aside(self, refused: Sequence[Pending], reason: str) -> None:
        """Keep refused records with the reason, without their token, in `rejected/`."""
        lines = [
            json.dumps({"reason": reason, **each.record.model_dump(mode="json")}) + "\n"
            for each in refused
        ]
        try:
            keep_rejected(self.path, _RECORDS, "".join(lines).encode())
        except OSError as error:
            # The API refused them for good, so they cannot go anywhere else.
            self._log.error("spool_refused_records_lost", records=len(lines), error=str(error))
        for each in refused:
            each.end = each.end or 0

    def reject(self, undelivered: Sequence[Pending], reason: str) -> None:
        """Set aside these records and all that `save` gets later, and leave the entry."""
        if self._rejection is None:
            self._rejection = reason
            self.set_aside(undelivered, reason)
            self.advance(undelivered)
            self.leave()

    def announce_recording(self, recording: CallRecording) -> None:
        """Note that a recording exists, so that it is found even if this process dies.

        Raises:
            OSError: the disk does not accept it.
        """
        write_private(self.path / _RECORDING, recording.model_dump_json())

    def forget_recording(self) -> None:
        """Note that the recording is not needed; its sound is deleted with the entry."""
        (self.path / _RECORDING).unlink(missing_ok=True)

    def recording(self) -> CallRecording | None:
        """The recording that waits to be stored; None if there is none."""
        try:
            return CallRecording.model_validate_json(
                (self.path / _RECORDING).read_bytes(), context=FROM_ANOTHER_VERSION
            )
        except FileNotFoundError:
            return None
        except ValidationError as error:
            # Cut short by a power failure; without its path the sound cannot be stored.
            self._log.error("spool_recording_unreadable", faults=error.error_count())
            return None

    def leave(self) -> None:
        """Delete the entry, except for a recording, which is left to `Uploads`."""
        if self._lock is None:
            return
        try:
            if self.recording() is None:
                self.remove()
            else:
                for name in (_RECORDS, _CURSOR):
                    (self.path / name).unlink(missing_ok=True)
                folder = self.path.parent / RECORDINGS
                folder.mkdir(exist_ok=True, mode=0o700)
                self.path = self.path.rename(folder / self.path.name)
        except OSError as error:
            # The drainer tries again.
            self._log.error("spool_entry_not_left", error=str(error))
        self.release()

    def remove(self) -> None:
        """Delete the entry: everything is delivered or set aside."""
        # Renamed first: nobody may adopt an entry of which only a part is left.
        leaving = temp_folder(self.path)
        # Where the disk refuses that, or there is no folder, what is there is deleted in place.
        with suppress(OSError):
            self.path.rename(leaving)
        for folder in (leaving, self.path):
            shutil.rmtree(folder, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Release the lock for the next owner."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def pending_records(path: Path) -> list[Pending]:
    """The undelivered records of an entry, whoever owns it, in order, without unreadable lines."""
    lines, _ = _lines(path)
    start, end = _cursor(path, sum(map(len, lines))), 0
    found: list[Pending] = []
    for line in lines:
        end += len(line)
        if end <= start:
            continue
        record = Record.parse(line)
        if record is not None:
            found.append(Pending(record, end, sendable=True))
    return found


def _lines(path: Path) -> tuple[list[bytes], bytes]:
    """The lines of an entry's records file, and a last one that a kill cut short."""
    try:
        lines, newline, cut = (path / _RECORDS).read_bytes().rpartition(b"\n")
    except FileNotFoundError:
        return [], b""
    return (lines + newline).splitlines(keepends=True), cut


def _cursor(path: Path, size: int) -> int:
    try:
        cursor = int((path / _CURSOR).read_text())
    except FileNotFoundError:
        return 0
    except ValueError:
        cursor = -1
    if 0 <= cursor <= size:
        return cursor
    # Deliver again: skipping records would lose them.
    log.warning("spool_cursor_unreadable", entry=path.name)
    return 0
