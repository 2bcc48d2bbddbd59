"""What earlier agents of a call have said and heard, and the API does not have yet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import structlog
from pydantic import ValidationError

from agent.spool.entry import pending_records
from agent.spool.record import Record, RecordKind, session_prefix
from domain.json_model import FROM_ANOTHER_VERSION
from domain.transcripts.transcript import Turn

log = structlog.stdlib.get_logger(__name__)


def undelivered_turns(spool: Path, org: str, session_id: str) -> list[Turn]:
    """The turns of a session that wait in a spool, in the order in which they were written.

    Other processes may own the entries, and deliver and remove them meanwhile: what is delivered is
    left out, so read the API's turns afterwards.

    Raises:
        OSError: the spool cannot be read.
    """
    entries = sorted(spool.glob(f"{session_prefix(org, session_id)}*"))
    records = [each.record for path in entries for each in pending_records(path)]
    return [turn for record in records for turn in _turns(record)]


def _turns(record: Record) -> Iterator[Turn]:
    body = record.body
    turns: Any = [body] if record.kind is RecordKind.TURN else body.get("turns")
    for turn in cast(list[Any], turns) if isinstance(turns, list) else []:
        try:
            yield Turn.model_validate(turn, context=FROM_ANOTHER_VERSION)
        except ValidationError as error:
            # Without the values, which are the conversation.
            log.error("spooled_turn_unreadable", faults=error.error_count())
