"""The report that an agent hands in at the end of its part of the call."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

from livekit.agents.voice.report import SessionReport

from agent.ending import Ending
from agent.engines import Notice
from agent.report_items import hand_offs, provider_errors, tool_calls
from agent.turns import TurnLog
from agent.version import agent_version
from domain.recording import CallRecording
from domain.transcript import REPORT_VERSION, AgentReport, ordered

_INSTRUCTION_ROLES = ("system", "developer")


def build_report(
    *,
    attempt: int,
    job_id: str,
    ending: Ending,
    turn_log: TurnLog,
    started_at: datetime,
    sdk: SessionReport | None,
    missing_variables: Sequence[str] = (),
    notices: Sequence[Notice] = (),
    recording: CallRecording | None = None,
) -> AgentReport:
    """The report of one attempt; `sdk` is the SDK's own, None if the session never started.

    Turns that were streamed have the same numbers here; the others get the next ones.
    """
    items = sdk.chat_history.items if sdk else []
    turns = [turn for item in items if (turn := turn_log.turn(item)) is not None]
    sdk_report = _sdk_report(sdk)
    return AgentReport.model_validate(
        {
            "report_version": REPORT_VERSION,
            "attempt": attempt,
            "job_id": job_id,
            "end_reason": ending.reason,
            "error": ending.error,
            "turns": ordered(turns),
            "tool_calls": tool_calls(items),
            "hand_offs": hand_offs(items),
            "usage": _usage(sdk),
            "errors": provider_errors(sdk.events if sdk else []),
            "missing_variables": list(missing_variables),
            "configured_otherwise": [asdict(notice) for notice in notices],
            "recording": recording,
            "started_at": started_at,
            "ended_at": datetime.now(UTC),
            "close_reason": sdk_report and sdk_report.get("close_reason"),
            "agent_version": agent_version(),
            "sdk_report": sdk_report,
        }
    )


def _usage(sdk: SessionReport | None) -> list[dict[str, Any]]:
    used = (sdk.model_usage if sdk else None) or []
    return [usage.model_dump() for usage in used]


def _sdk_report(sdk: SessionReport | None) -> dict[str, Any] | None:
    """The SDK's report as plain JSON, without the instructions: they may hold the customer's data.

    Without its events, too: they repeat the history at forty times its size.
    """
    if sdk is None:
        return None
    # The SDK declares a bare `dict`, whose types are unknown.
    to_dict = cast(Callable[..., dict[str, Any]], sdk.to_dict)  # pyright: ignore[reportUnknownMemberType]
    report: dict[str, Any] = json.loads(json.dumps(to_dict(include_events=False), default=str))
    history = cast(dict[str, Any], report.get("chat_history") or {})
    items = cast(list[dict[str, Any]], history.get("items") or [])
    report["chat_history"] = {"items": [item for item in items if not _is_instruction(item)]}
    return report


def _is_instruction(item: dict[str, Any]) -> bool:
    return item.get("type") == "agent_config_update" or item.get("role") in _INSTRUCTION_ROLES
