"""The report that an agent hands in at the end of its part of the call."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from livekit.agents.voice.report import SessionReport

from agent.call.end_cause import EndCause
from agent.call.report_items import hand_offs, provider_errors, tool_calls
from agent.call.turns import TurnLog
from agent.engines import Notice
from agent.logs import frames
from agent.report_size import MAX_REPORT_BYTES, shortened, size_of
from agent.spool import Record, RecordKind
from agent.version import agent_version
from domain.recordings.recording import CallRecording
from domain.transcripts.transcript import REPORT_VERSION, AgentReport, Turn, ordered

log = structlog.stdlib.get_logger(__name__)

MAX_OUTPUT_CHARS = 2_000
"""Limit of a tool's answer in the report: a fetched page is useful to the model only."""
_MAX_ERROR_CHARS = 2_000
_INSTRUCTION_ROLES = ("system", "developer")


def build_report(
    *,
    attempt: int,
    job_id: str,
    ending: EndCause,
    turn_log: TurnLog,
    started_at: datetime,
    sdk: SessionReport | None,
    missing_variables: Sequence[str] = (),
    notices: Sequence[Notice] = (),
    recording: CallRecording | None = None,
    unanswered: bool = False,
) -> AgentReport:
    """The report of one attempt; `sdk` is the SDK's own, None if the session never started.

    Streamed turns keep their numbers; the others get the next ones. If the SDK's part is not valid,
    that is logged, and the report goes without it: the report ends the session, and the turns were
    streamed.
    """
    known: dict[str, Any] = {
        "report_version": REPORT_VERSION,
        "attempt": attempt,
        "job_id": job_id,
        "end_reason": ending.reason,
        "error": ending.error and ending.error[:_MAX_ERROR_CHARS],
        "unanswered": unanswered,
        "missing_variables": list(missing_variables),
        "configured_otherwise": [asdict(notice) for notice in notices],
        "recording": recording,
        "started_at": started_at,
        "ended_at": datetime.now(UTC),
        "agent_version": agent_version(),
    }
    try:
        return AgentReport.model_validate({**known, **_from_sdk(sdk, turn_log)})
    except Exception as error:  # noqa: BLE001  # of any plugin's making
        # Without the error's message, which quotes the conversation.
        log.error("report_incomplete", error=frames(error))
        fault = {"at": datetime.now(UTC), "stage": "report_error", "kind": type(error).__name__}
        return AgentReport.model_validate({**known, "errors": [fault]})


def _from_sdk(sdk: SessionReport | None, turn_log: TurnLog) -> dict[str, Any]:
    items = sdk.chat_history.items if sdk else []
    turns = [turn for item in items if (turn := turn_log.turn(item)) is not None]
    sdk_report = _sdk_report(sdk)
    return {
        "turns": ordered(turns),
        "tool_calls": tool_calls(items),
        "hand_offs": hand_offs(items),
        "usage": [usage.model_dump() for usage in (sdk.model_usage if sdk else None) or []],
        "errors": provider_errors(sdk.events if sdk else []),
        "close_reason": sdk_report and sdk_report.get("close_reason"),
        "sdk_report": sdk_report,
    }


def _sdk_report(sdk: SessionReport | None) -> dict[str, Any] | None:
    """The SDK's report as plain JSON, without the instructions, which may hold customer data.

    Also without the events, which repeat the history at forty times its size, and with at most
    `MAX_OUTPUT_CHARS` of each tool's answer.
    """
    if sdk is None:
        return None
    # The SDK declares a bare `dict`, whose types are unknown.
    to_dict = cast(Callable[..., dict[str, Any]], sdk.to_dict)  # pyright: ignore[reportUnknownMemberType]
    report: dict[str, Any] = json.loads(json.dumps(to_dict(include_events=False), default=str))
    history = cast(dict[str, Any], report.get("chat_history") or {})
    items = cast(list[dict[str, Any]], history.get("items") or [])
    report["chat_history"] = {
        "items": [_shortened(item) for item in items if not _is_instruction(item)]
    }
    return report


def _shortened(item: dict[str, Any]) -> dict[str, Any]:
    output = item.get("output")
    if not isinstance(output, str) or len(output) <= MAX_OUTPUT_CHARS:
        return item
    cut = len(output) - MAX_OUTPUT_CHARS
    return {**item, "output": f"{output[:MAX_OUTPUT_CHARS]} … [{cut} more characters were cut]"}


def _is_instruction(item: dict[str, Any]) -> bool:
    return item.get("type") == "agent_config_update" or item.get("role") in _INSTRUCTION_ROLES


def report_records(report: AgentReport, streamed: Mapping[str, Turn]) -> list[Record]:
    """The report, preceded by the turns that do not fit into it.

    `streamed` are the turns that were handed in during the call, by their item's id; they are not
    sent again.
    """
    body = report.model_dump(mode="json")
    if size_of(body) <= MAX_REPORT_BYTES:
        return [Record(kind=RecordKind.REPORT, body=body)]
    short = shortened(body, MAX_REPORT_BYTES)
    log.warning("report_too_large", left_out=short["left_out"], bytes=size_of(body))
    turns = report.turns if "turns" in short["left_out"] else []
    rest = [turn for turn in turns if streamed.get(turn.item_id) != turn]
    return [
        *(Record(kind=RecordKind.TURN, body=turn.model_dump(mode="json")) for turn in rest),
        Record(kind=RecordKind.REPORT, body=short),
    ]
