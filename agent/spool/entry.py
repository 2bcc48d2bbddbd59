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

A disk that cannot be written (full, read-only, gone, hanging) ends no call: the records are held in
memory, delivered from there, and written once the disk accepts them again.
"""

import json
import os
import shutil
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import structlog
from pydantic import ValidationError

from agent.spool.files import (
    RECORDINGS,
    TARGET,
    keep_rejected,
    sync_directory,
    take_lock,
    temp_folder,
    write_private,
)
from agent.spool.record import Pending, Record, SpoolError, Target
from domain.json_model import FROM_ANOTHER_VERSION
from domain.recordings.recording import CallRecording

log = structlog.stdlib.get_logger(__name__)

_RECORDING, _SOUND = "recording.json", "recording.ogg"
_RECORDS, _CURSOR = "records.jsonl", "cursor"
_UNREADABLE = "unreadable.jsonl"


class SpoolEntry:
    """An entry whose lock this process holds."""

    def __init__(self, path: Path, target: Target, lock: int | None) -> None:
        self.path = path
        self.target = target
        self._lock = lock
        self._records = path / _RECORDS
        # Records are written, delivered and rejected in different threads.
        self._writing = threading.RLock()
        self._rejection: str | None = None
        # Records that only memory holds have their own lock, under which nothing touches the disk.
        self._holding = threading.Lock()
        self._held: deque[Record] = deque()
        self._not_taken = 0
        """How many of the first held records the disk has refused."""
        self._delivered: int | None = None
        """The cursor, if the disk has refused it."""

    @classmethod
    def in_memory(cls, spool: Path, target: Target) -> Self:
        """A new entry that is not on the disk yet: `open` or the first record writes it."""
        return cls(spool / target.entry_name(), target, None)

    def open(self) -> None:
        """Write a new entry to the disk, if that accepts it."""
        with self._writing:
            if self._lock is not None:
                return
            try:
                self._lock = _create(self.path, self.target)
            except OSError as error:
                log.error("spool_not_writable", entry=self.path.name, error=str(error))

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """Take over an entry whose owner is gone; None if it is owned or was removed.

        Raises:
            SpoolError: nobody owns it, and its target cannot be read.
            OSError: it cannot be opened.
        """
        try:
            lock = take_lock(path)
        except FileNotFoundError:
            return None
        if lock is None:
            return None
        try:
            return cls(path, _read_target(path / TARGET), lock)
        except (SpoolError, OSError) as error:
            os.close(lock)
            if not isinstance(error, FileNotFoundError):
                raise
            if path.exists():
                raise SpoolError(f"{path / TARGET} is missing") from None
            return None

    def hold(self, record: Record) -> None:
        """Keep a record in memory until `save` has written it; does not block."""
        with self._holding:
            self._held.append(record)

    def held(self) -> list[Record]:
        """The records that only memory holds, in order; does not block."""
        with self._holding:
            return list(self._held)

    def ack(self, delivered: Sequence[Pending]) -> None:
        """Release the records that were delivered from memory; does not block."""
        for pending in delivered:
            # A record that was written meanwhile is sent again: the receiver deduplicates it.
            if pending.end is None:
                self._drop(pending.record)

    def _drop(self, record: Record) -> None:
        with self._holding:
            # It may have been written or delivered meanwhile.
            if self._held and self._held[0] is record:
                self._held.popleft()
                self._not_taken = max(0, self._not_taken - 1)

    def save(self) -> int:
        """Write the records that only memory holds; returns how many the disk does not accept.

        Records of a rejected entry are set aside, as the others were.
        """
        with self._writing:
            while held := self.held():
                if self._rejection is not None:
                    self.set_aside(held[0], self._rejection)
                elif not self._saved(held[0]):
                    break
                self._drop(held[0])
            return len(held)

    def _saved(self, record: Record) -> bool:
        try:
            if self._lock is None:
                self._lock = _create(self.path, self.target)
            self._write(record)
        except OSError as error:
            with self._holding:
                held = self._not_taken = len(self._held)
            log.error(
                "spool_write_failed", entry=self.path.name, error=str(error), held_in_memory=held
            )
            return False
        return True

    def _write(self, record: Record) -> None:
        line = record.model_dump_json().encode() + b"\n"
        descriptor = os.open(self._records, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        before = os.fstat(descriptor).st_size
        try:
            remaining = memoryview(line)
            while remaining:
                remaining = remaining[os.write(descriptor, remaining) :]
            os.fsync(descriptor)
        except OSError:
            # A partial line would corrupt the next record.
            os.ftruncate(descriptor, before)
            raise
        finally:
            os.close(descriptor)

    def pending(self, limit: int = 50) -> list[Pending]:
        """The next records to deliver, in order, without a last line that a kill cut short.

        Held records are included if the disk has refused them; the others are being written.
        """
        with self._writing:
            found = self._on_disk(limit)
            with self._holding:
                held = list(self._held)[: min(self._not_taken, limit - len(found))]
            return [*found, *(Pending(record, None) for record in held)]

    def _on_disk(self, limit: int) -> list[Pending]:
        if self._lock is None:
            return []
        try:
            return self._read(limit)
        except OSError as error:
            if not self.held():
                raise
            # The held records can still be delivered.
            log.error("spool_not_readable", entry=self.path.name, error=str(error))
            return []

    def _read(self, limit: int) -> list[Pending]:
        end = self._cursor()
        found: list[Pending] = []
        try:
            file = self._records.open("rb")
        except FileNotFoundError:
            return found
        with file:
            file.seek(end)
            for line in file:
                if len(found) >= limit or not line.endswith(b"\n"):
                    break
                end += len(line)
                record = Record.parse(line)
                if record is None:
                    log.error(
                        "spool_record_unreadable", entry=self.path.name, end=end, bytes=len(line)
                    )
                else:
                    found.append(Pending(record, end))
        return found

    def keep_unreadable(self) -> int:
        """Set aside the unreadable lines, such as those of a newer version.

        Returns:
            Bytes of a last line that was cut short, which is not kept.

        Raises:
            OSError: the disk does not accept it.
        """
        try:
            lines = self._records.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return 0
        cut = 0 if not lines or lines[-1].endswith(b"\n") else len(lines.pop())
        if unread := [line for line in lines if Record.parse(line) is None]:
            log.error("spool_records_set_aside", entry=self.path.name, records=len(unread))
            keep_rejected(self.path, _UNREADABLE, b"".join(unread))
        return cut

    def advance(self, delivered: Sequence[Pending]) -> None:
        """Remember on the disk that these records and all before them are delivered."""
        ends = [pending.end for pending in delivered if pending.end is not None]
        if not ends:
            return
        scratch = self.path / f"{_CURSOR}.new"
        with self._writing:
            try:
                scratch.write_text(str(ends[-1]))
                scratch.replace(self.path / _CURSOR)
            except OSError as error:
                # Known to this process only; another one would deliver twice, which is harmless.
                log.warning("spool_cursor_not_written", entry=self.path.name, error=str(error))
                self._delivered = ends[-1]
            else:
                self._delivered = None

    @property
    def sound(self) -> Path:
        """The file into which the call is recorded."""
        return self.path / _SOUND

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
            log.error(
                "spool_recording_unreadable", entry=self.path.name, faults=error.error_count()
            )
            return None

    def set_aside(self, record: Record, reason: str) -> None:
        """Keep a single refused record with its reason, without its token, in `rejected/`."""
        line = json.dumps({"reason": reason, **record.model_dump(mode="json")}) + "\n"
        try:
            keep_rejected(self.path, _RECORDS, line.encode())
        except OSError as error:
            # The API refused it for good, so it cannot go anywhere else.
            log.error(
                "spool_refused_record_lost",
                entry=self.path.name,
                record=record.kind.value,
                error=str(error),
            )

    def reject(self, reason: str) -> None:
        """Move everything undelivered to `rejected/`, and leave the entry."""
        with self._writing:
            self._rejection = reason
            while batch := self.pending():
                for pending in batch:
                    self.set_aside(pending.record, reason)
                self.ack(batch)
                self.advance(batch)
            self.leave()

    def leave(self) -> None:
        """Delete the entry, except for a recording, which is left to `Uploads`."""
        if self._lock is None:
            return
        try:
            if self.recording() is None:
                self.remove()
            else:
                self._leave_recording()
        except OSError as error:
            # The drainer tries again.
            log.error("spool_entry_not_left", entry=self.path.name, error=str(error))
        self.release()

    def _leave_recording(self) -> None:
        for name in (_RECORDS, _CURSOR):
            (self.path / name).unlink(missing_ok=True)
        folder = self.path.parent / RECORDINGS
        folder.mkdir(exist_ok=True, mode=0o700)
        self.path = self.path.rename(folder / self.path.name)

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

    def _cursor(self) -> int:
        if self._delivered is not None:
            return self._delivered
        try:
            cursor = int((self.path / _CURSOR).read_text())
            size = self._records.stat().st_size
        except FileNotFoundError:
            return 0
        except ValueError:
            cursor, size = -1, 0
        if not 0 <= cursor <= size:
            # Deliver again: skipping records would lose them.
            log.warning("spool_cursor_unreadable", entry=self.path.name)
            return 0
        return cursor


def _read_target(file: Path) -> Target:
    try:
        return Target.model_validate_json(file.read_bytes(), context=FROM_ANOTHER_VERSION)
    except ValidationError as error:
        raise SpoolError(f"{file} is not readable: {error.error_count()} faults") from None


def _create(path: Path, target: Target) -> int:
    """Make an entry's folder; returns its lock."""
    spool = path.parent
    spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    temp = temp_folder(path)
    temp.mkdir(mode=0o700)
    lock: int | None = None
    try:
        # Locked before the rename, so that a drainer never sees it without an owner.
        lock = take_lock(temp)
        if lock is None:
            raise BlockingIOError(f"{temp} is owned by another process")
        write_private(temp / TARGET, target.model_dump_json())
        temp.rename(path)
        sync_directory(spool)
    except OSError:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(temp, ignore_errors=True)
        raise
    return lock
