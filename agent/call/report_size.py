"""Keeping a report within the size that the API accepts."""

import json
from collections.abc import Mapping
from typing import Any

import structlog

from agent.spool import Record, RecordKind
from domain.transcripts.transcript import AgentReport, Turn

log = structlog.stdlib.get_logger(__name__)

MAX_REPORT_BYTES = 2 * 1024 * 1024
"""Half of the API's limit: a larger report would be refused for good, and the call lost."""
_DISPENSABLE = (
    *("sdk_report", "turns", "tool_calls", "hand_offs"),
    *("configured_otherwise", "missing_variables", "usage"),
)
"""Left out one after the other, until the rest is small enough. Turns are then sent separately;
the remaining fields have limits of their own."""


def report_records(report: AgentReport, streamed: Mapping[str, Turn]) -> list[Record]:
    """The report, preceded by the turns that do not fit into it.

    `streamed` are the turns that were handed in during the call, by their item's id; they are not
    sent again.
    """
    body = report.model_dump(mode="json")
    left_out: list[str] = []
    for field in _DISPENSABLE:
        if _size(body) <= MAX_REPORT_BYTES:
            break
        if body.pop(field, None):
            left_out.append(field)
    if not left_out:
        return [Record(kind=RecordKind.REPORT, body=body)]
    log.warning("report_too_large", left_out=left_out, bytes=_size(body))
    turns = report.turns if "turns" in left_out else []
    rest = [turn for turn in turns if streamed.get(turn.item_id) != turn]
    return [
        *(Record(kind=RecordKind.TURN, body=turn.model_dump(mode="json")) for turn in rest),
        Record(kind=RecordKind.REPORT, body={**body, "left_out": left_out}),
    ]


def _size(body: Mapping[str, Any]) -> int:
    """Bytes of the request, as `httpx` writes it."""
    written = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return len(written.encode(errors="replace"))
