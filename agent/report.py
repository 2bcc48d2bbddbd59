"""The report that an agent hands in at the end of its part of the call."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from livekit.agents.voice.report import SessionReport

from agent.ending import Ending
from agent.turns import TurnLog
from agent.version import agent_version
from domain.transcript import AgentReport, Turn

_INSTRUCTION_ROLES = ("system", "developer")


def build_report(
    *,
    attempt: int,
    job_id: str,
    ending: Ending,
    turn_log: TurnLog,
    started_at: datetime,
    sdk: SessionReport | None,
) -> AgentReport:
    """The report of one attempt; `sdk` is the SDK's own, None if the session never started.

    Turns that were streamed have the same numbers here; the others get the next ones.
    """
    items = sdk.chat_history.items if sdk else []
    turns = [turn for item in items if (turn := turn_log.turn(item)) is not None]
    return AgentReport.model_validate(
        {
            "attempt": attempt,
            "job_id": job_id,
            "end_reason": ending.reason,
            "error": ending.error,
            "turns": sorted(turns, key=Turn.order),
            "usage": _usage(sdk),
            "started_at": started_at,
            "ended_at": datetime.now(UTC),
            "agent_version": agent_version(),
            "sdk_report": _sdk_report(sdk),
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
