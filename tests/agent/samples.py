"""Sample turns and spool targets."""

from datetime import UTC, datetime, timedelta
from typing import Any

from agent.spool import Record, RecordKind, Target
from domain.transcript import Role, Turn
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
