"""Reports of agents that are not ours, in the shapes of LiveKit's SDKs and of the seed service.

Read as far as they can be: a session report of the SDK (`to_dict()`) of any version, alone or
beside a conversation history, in snake case or camel case. What is not understood is kept as it is.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any, cast

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from domain.transcripts.report_items import HandOff, ToolCall
from domain.transcripts.transcript import MAX_TURN_CHARS, AgentReport, ReportEnd, Role, Turn
from domain.transcripts.usage import ModelUsage

Fields = dict[str, Any]

MAX_ITEMS = 20_000
"""Items of a history that are read; a day of talk has fewer."""
_ROOMS = ("room", "roomName", "room_name")
_REPORTS = ("session_report", "sessionReport", "report")
_HISTORIES = (
    *("chat_history", "chatHistory", "conversation_history", "conversationHistory", "history"),
    *("transcript", "messages", "conversation", "items", "turns"),
)
_ROLES = {
    **dict.fromkeys(("user", "human", "caller", "customer"), Role.USER),
    **dict.fromkeys(("assistant", "agent", "ai", "bot", "model"), Role.ASSISTANT),
}
_INSTRUCTIONS = ("system", "developer")
MAX_DEPTH = 150
"""Deeper than what the archive takes."""
_MILLISECONDS = 1e11
"""Greater numbers are milliseconds: as seconds they would be in the year 5138."""
_HUMP = re.compile(r"(?<=[a-z0-9])[A-Z]")
_IN_MILLISECONDS = "_duration_ms"


class ForeignReport(BaseModel):
    """A report of an agent that is not ours. Only its room is needed, to find its session."""

    model_config = ConfigDict(extra="allow")

    room: str | None = Field(
        default=None,
        max_length=300,
        validation_alias=AliasChoices(*_ROOMS),
        examples=["acme.front-desk"],
    )
    """LiveKit's full name of the room; also understood inside a `session_report`."""

    def room_name(self) -> str | None:
        """LiveKit's name of the room, wherever it stands."""
        names = product(_parts(self), _ROOMS)
        named = (part.get(name) for part, name in names)
        return self.room or next((name for name in named if isinstance(name, str) and name), None)

    def report(self, attempt: int, now: datetime) -> AgentReport:
        """The same as a report of one attempt; `now` stands for times that are not told."""
        parts = list(_parts(self))
        items = _items(parts)
        closed = _first(parts, "close_reason", "closeReason") or _told_by_events(parts)
        end = _end(closed or _first(parts, "end_reason", "endReason"))
        error = _first(parts, "error")
        return AgentReport(
            attempt=attempt,
            job_id=_text(_first(parts, "job_id", "jobId"), 200) or None,
            end_reason=end,
            error=_text(error, 500) if isinstance(error, str) and end is ReportEnd.ERROR else None,
            turns=list(_turns(items, attempt, now)),
            tool_calls=list(_tool_calls(items)),
            hand_offs=list(_hand_offs(items)),
            usage=_usage(_first(parts, "usage", "model_usage", "modelUsage")),
            started_at=_time(_first(parts, "started_at", "startedAt")),
            ended_at=_time(_first(parts, "ended_at", "endedAt", "timestamp")) or now,
            close_reason=_text(closed, 100) or None,
            agent_version=_version(_first(parts, "agent_version", "sdk_version", "sdkVersion")),
            foreign=True,
        ).model_copy(update={"sdk_report": _without_instructions(self.model_extra)})


def _parts(report: ForeignReport) -> Iterator[Fields]:
    """The report itself and the session report inside it, whichever of the two there is."""
    outer = report.model_extra or {}
    yield from (cast(Fields, outer[key]) for key in _REPORTS if isinstance(outer.get(key), dict))
    yield outer


def _first(parts: list[Fields], *names: str) -> Any:
    found = (part[name] for part in parts for name in names if part.get(name) is not None)
    return next(found, None)


def _told_by_events(parts: list[Fields]) -> Any:
    """Why the session closed, where only its last event says so: in SDKs before `close_reason`."""
    events = _first(parts, "events")
    closing = [
        cast(Fields, event).get("reason")
        for event in (cast(list[object], events) if isinstance(events, list) else [])
        if isinstance(event, dict) and cast(Fields, event).get("type") == "close"
    ]
    return closing[-1] if closing else None


def _snake(fields: Fields) -> Fields:
    """The fields under the names of the SDK for Python; the one for Node writes camel case."""
    named: Fields = {}
    for name, value in fields.items():
        plain = _HUMP.sub(lambda hump: f"_{hump[0].lower()}", name)
        if plain == name:
            named[name] = value
        else:
            named.setdefault(plain, value)
    return named


def _items(parts: list[Fields]) -> list[Fields]:
    """The conversation's items: the first history that has any."""
    for part in parts:
        for name in _HISTORIES:
            history = part.get(name)
            if isinstance(history, dict):
                history = cast(Fields, history).get("items", cast(Fields, history).get("messages"))
            if isinstance(history, list):
                listed = cast(list[object], history)[:MAX_ITEMS]
                items = [_snake(cast(Fields, item)) for item in listed if isinstance(item, dict)]
                if items:
                    return items
    return []


def _turns(items: list[Fields], attempt: int, now: datetime) -> Iterator[Turn]:
    for number, item in enumerate(items):
        role = _ROLES.get(str(item.get("role", item.get("speaker", ""))).lower())
        if role is None or item.get("type", "message") != "message":
            continue
        words = _words(item)
        if not words.strip():
            continue
        metrics = item.get("metrics")
        measured = _snake(cast(Fields, metrics)) if isinstance(metrics, dict) else {}
        yield Turn(
            item_id=_text(item.get("id") or item.get("item_id"), 200) or _made_up_id(number, words),
            attempt=attempt,
            seq=number,
            role=role,
            text=words[:MAX_TURN_CHARS],
            created_at=_time(_first([item], "created_at", "timestamp")) or now,
            interrupted=item.get("interrupted") is True,
            started_speaking_at=_time(measured.get("started_speaking_at")),
            stopped_speaking_at=_time(measured.get("stopped_speaking_at")),
            metrics={
                _text(name, 100): value
                for name, value in measured.items()
                if isinstance(value, int | float) and not name.endswith("_speaking_at")
            },
        )


def _words(item: Fields) -> str:
    content = _first([item], "content", "text", "text_content", "transcript", "message")
    if isinstance(content, list):
        return "\n".join(filter(None, map(_words_of_part, cast(list[object], content))))
    return _words_of_part(content)


def _words_of_part(part: object) -> str:
    if isinstance(part, dict):
        part = cast(Fields, part).get("text") or cast(Fields, part).get("transcript")
    return _text(part, MAX_TURN_CHARS) if isinstance(part, str) else ""


def _made_up_id(number: int, words: str) -> str:
    """The same for the same report sent again."""
    return f"item-{number}-{hashlib.sha256(words.encode()).hexdigest()[:16]}"


def _tool_calls(items: list[Fields]) -> Iterator[ToolCall]:
    results = {
        str(item["call_id"]): item
        for item in items
        if item.get("type") == "function_call_output" and item.get("call_id")
    }
    for item in items:
        if item.get("type") != "function_call":
            continue
        result = results.get(str(item.get("call_id")))
        began = _time(item.get("created_at"))
        ended = _time(result.get("created_at")) if result else None
        yield ToolCall(
            call_id=_text(item.get("call_id"), 300),
            name=_text(item.get("name"), 300),
            arguments=_arguments(_first([item], "arguments", "args")),
            started_at=began,
            seconds=max((ended - began).total_seconds(), 0) if began and ended else None,
            ok=not result.get("is_error") if result else None,
        )


def _arguments(value: object) -> str:
    """JSON as the model wrote it, or of what somebody has read from that."""
    text = value if isinstance(value, str) else json.dumps(value, default=str) if value else ""
    return _text(text or "{}", 64_000)


def _hand_offs(items: list[Fields]) -> Iterator[HandOff]:
    for item in items:
        if item.get("type") == "agent_handoff" and item.get("old_agent_id"):
            yield HandOff(
                at=_time(item.get("created_at")),
                from_agent=_text(item.get("old_agent_id"), 300),
                to_agent=_text(item.get("new_agent_id"), 300),
            )


def _usage(value: object) -> list[ModelUsage]:
    found: list[ModelUsage] = []
    for entry in cast(list[object], value) if isinstance(value, list) else []:
        try:
            found.append(ModelUsage.model_validate(_used(entry)))
        except ValidationError:
            # Another SDK's idea of it is kept with the rest of the report.
            continue
    return found


def _used(entry: object) -> object:
    """One model's usage with durations in seconds; the SDK for Node has them in milliseconds."""
    if not isinstance(entry, dict):
        return entry
    fields = _snake(cast(Fields, entry))
    for name in [name for name in fields if name.endswith(_IN_MILLISECONDS)]:
        value = fields.pop(name)
        if isinstance(value, int | float):
            fields.setdefault(name.removesuffix("_ms"), value / 1000)
    return fields


def _end(value: object) -> ReportEnd:
    """Why it ended. An agent that reports has finished, unless it says that it broke."""
    word = str(value or "").lower().removeprefix("cr_")
    if word in (ReportEnd.ERROR, "failed"):
        return ReportEnd.ERROR
    if word in (ReportEnd.CALLER_LEFT, "participant_disconnected", "user_left"):
        return ReportEnd.CALLER_LEFT
    return ReportEnd.AGENT_ENDED


def _version(value: object) -> str | None:
    known = _text(value, 150)
    return f"livekit-agents {known}" if known and known[0].isdigit() else known or None


def _text(value: object, limit: int) -> str:
    """Text that can be stored: half of a character pair, which JSON can hold, becomes a `?`."""
    if value is None:
        return ""
    return str(value)[:limit].encode("utf-8", "replace").decode("utf-8")


def _time(value: object) -> datetime | None:
    """A time in seconds, milliseconds or ISO form; None for anything else."""
    try:
        if isinstance(value, datetime):
            return value
        if isinstance(value, str):
            told = datetime.fromisoformat(value)
            return told if told.tzinfo else told.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass  # Not a time; who reads the turns can live without it.
    return None


def _without_instructions(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Without the agent's instructions, which may hold the customer's data.

    What is nested deeper than anything that can be stored is left: storing it is refused.
    """
    if depth == 0:
        return value
    if isinstance(value, dict):
        fields = cast(Fields, value).items()
        return {
            name: _without_instructions(one, depth - 1)
            for name, one in fields
            if name != "instructions"
        }
    if isinstance(value, list):
        items = cast(list[Any], value)
        return [_without_instructions(one, depth - 1) for one in items if not _is_instruction(one)]
    return value


def _is_instruction(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    fields = cast(Fields, item)
    return fields.get("type") == "agent_config_update" or fields.get("role") in _INSTRUCTIONS
