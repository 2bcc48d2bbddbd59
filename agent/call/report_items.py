"""Tool calls, hand-offs and errors, from LiveKit's conversation items and session events."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from livekit.agents import llm

from domain.json_model import writable_text
from domain.transcripts.report_items import AgentError, HandOff, ToolCall

MAX_ERRORS = 200
"""The first errors of an attempt are kept; an unreachable provider fails again and again."""
_MAX_NAME = 300
_MAX_ARGUMENTS = 64_000


def tool_calls(items: Iterable[object]) -> list[ToolCall]:
    """The calls of tools in their order, each with its result's time and success."""
    found = list(items)
    results = {item.call_id: item for item in found if isinstance(item, llm.FunctionCallOutput)}
    calls = (item for item in found if isinstance(item, llm.FunctionCall))
    return [_tool_call(call, results.get(call.call_id)) for call in calls]


def _tool_call(call: llm.FunctionCall, result: llm.FunctionCallOutput | None) -> ToolCall:
    return ToolCall(
        call_id=_text(call.call_id, _MAX_NAME),
        name=_text(call.name, _MAX_NAME),
        arguments=_text(call.arguments, _MAX_ARGUMENTS),
        started_at=datetime.fromtimestamp(call.created_at, UTC),
        # The wall clock may have been set back meanwhile.
        seconds=max(round(result.created_at - call.created_at, 4), 0.0) if result else None,
        ok=not result.is_error if result else None,
    )


def hand_offs(items: Iterable[object]) -> list[HandOff]:
    """Which agents handed the conversation over; the start of the first agent is no hand-off."""
    return [
        HandOff(
            at=datetime.fromtimestamp(item.created_at, UTC),
            from_agent=_text(item.old_agent_id, _MAX_NAME),
            to_agent=_text(item.new_agent_id, _MAX_NAME),
        )
        for item in items
        if isinstance(item, llm.AgentHandoff) and item.old_agent_id
    ]


def provider_errors(events: Iterable[Any]) -> list[AgentError]:
    """The errors among a session's events, without their messages."""
    errors = [event for event in events if getattr(event, "type", None) == "error"]
    return [_error(event) for event in errors[:MAX_ERRORS]]


def _error(event: Any) -> AgentError:
    error = event.error
    cause = getattr(error, "error", None) or error
    label = getattr(error, "label", None)
    recoverable = getattr(error, "recoverable", None)
    return AgentError(
        at=datetime.fromtimestamp(event.created_at, UTC),
        stage=_text(str(getattr(error, "type", None) or "error"), 100),
        kind=type(cause).__name__[:200],
        source=None if label is None else _text(str(label), _MAX_NAME),
        recoverable=recoverable if isinstance(recoverable, bool) else None,
    )


def _text(text: str, longest: int) -> str:
    return writable_text(text)[:longest]
