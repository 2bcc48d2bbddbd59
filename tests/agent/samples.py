"""Sample turns and spool targets."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.spool import Record, RecordKind, SpoolEntry, Target
from agent.spool.record import Pending
from domain.transcripts.transcript import Role, Turn
from tests.fakes.callback_api import CallbackApi

START = datetime(2026, 1, 1, tzinfo=UTC)


def turn(seq: int, *, attempt: int = 1, text: str | None = None) -> Turn:
    """The turn with this number; caller and agent alternate."""
    return Turn(
        item_id=f"item_{attempt}_{seq}",
        attempt=attempt,
        seq=seq,
        role=Role.ASSISTANT if seq % 2 == 0 else Role.USER,
        text=text or f"sentence {seq}",
        created_at=START + timedelta(seconds=seq),
    )


def turn_record(seq: int, text: str | None = None) -> Record:
    """The turn as the job spools it."""
    return Record(kind=RecordKind.TURN, body=turn(seq, text=text).model_dump(mode="json"))


def new_entry(spool: Path, target: Target) -> SpoolEntry:
    """An entry that this process owns, on the disk if that takes it."""
    entry = SpoolEntry(spool / target.entry_name(), target)
    with suppress(OSError):
        entry.open()
    return entry


def append(entry: SpoolEntry, record: Record) -> None:
    """Write a record behind the others."""
    entry.save([Pending(record)])


def report_record(**fields: Any) -> Record:
    """A report as the job spools it."""
    return Record(kind=RecordKind.REPORT, body={"attempt": 1, "turns": [], **fields})


def target(api: CallbackApi, *, job_id: str = "AJ_1", token: str | None = None) -> Target:
    """Whom a spool entry delivers to."""
    return Target(
        callback_url=api.url,
        callback_token=token or api.token,
        org="local",
        session_id="s1",
        attempt=1,
        job_id=job_id,
    )


def target_of_nobody() -> Target:
    """Of an entry that nothing is delivered from."""
    return Target(
        callback_url="http://127.0.0.1:9",
        callback_token="token",
        org="acme",
        session_id="s-1",
        attempt=1,
        job_id="AJ",
    )
