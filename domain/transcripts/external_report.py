"""Reports of external agents, in the shapes of LiveKit's SDKs and of the seed service.

A report is read as far as possible: a session report of the SDK (`to_dict()`) of any version, alone
or beside a conversation history, in snake case or camel case. Other fields are kept unchanged.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from domain.json_model import cut_off, is_number, writable_text
from domain.sessions.end_reasons import ReportEnd
from domain.transcripts.report_items import HandOff, ToolCall
from domain.transcripts.transcript import MAX_REPORT_LEVELS, MAX_TURN_CHARS, AgentReport, Role, Turn
from domain.transcripts.usage import ModelUsage

Fields = dict[str, Any]

_OWN_FIELDS = ("report_version", "attempt", "foreign")
MAX_ITEMS = 20_000
"""Items of a history that are read; a day of conversation has fewer."""
MAX_ROOM_CHARS = 300
_REPORTS = ("session_report", "report")
_HISTORIES = (
    *("chat_history", "conversation_history", "history"),
    *("transcript", "messages", "conversation", "items", "turns"),
)
_ROLES = {
    **dict.fromkeys(("user", "human", "caller", "customer"), Role.USER),
    **dict.fromkeys(("assistant", "agent", "ai", "bot", "model"), Role.ASSISTANT),
}
_ENDS = {
    **dict.fromkeys(("error", "failed"), ReportEnd.ERROR),
    **dict.fromkeys(
        ("caller_left", "participant_disconnected", "user_left"), ReportEnd.CALLER_LEFT
    ),
}
"""All others are `agent_ended`: an agent that reports has finished, unless it says it failed."""
_INSTRUCTIONS = ("system", "developer")
_MILLISECONDS = 1e11
"""Greater numbers are milliseconds: as seconds they would be in the year 5138."""
_HUMP = re.compile(r"(?<=[a-z0-9])[A-Z]")
_IN_MILLISECONDS = "_duration_ms"


def _room_or_none(value: object) -> object:
    # With a callback token, the room is not needed.
    return value if isinstance(value, str) and len(value) <= MAX_ROOM_CHARS else None


def is_own_report(body: Mapping[str, object]) -> bool:
    """Whether Everline's agent worker wrote a report.

    Its reports of all releases have these fields. An external agent's report may have an `attempt`
    or a version of its own, but not all three.
    """
    return all(field in body for field in _OWN_FIELDS)


class ForeignReport(BaseModel):
    """A report of an external agent. Only its room is required, to find its session."""

    model_config = ConfigDict(extra="allow")

    room: Annotated[str | None, BeforeValidator(_room_or_none)] = Field(
        default=None,
        max_length=MAX_ROOM_CHARS,
        validation_alias=AliasChoices("room", "roomName", "room_name"),
        examples=["acme.front-desk"],
    )
    """LiveKit's full name of the room; also understood inside a `session_report`."""

    def room_name(self) -> str | None:
        """LiveKit's name of the room, from the report or the session report in it."""
        named = (part.get(name) for part in _parts(self) for name in ("room", "room_name"))
        return self.room or next((name for name in named if isinstance(name, str) and name), None)

    def report(self, attempt: int, now: datetime) -> AgentReport:
        """The report as an attempt's report; `now` stands for missing times."""
        parts = _parts(self)
        items = _items(parts)
        closing = [one for one in _objects(_first(parts, "events")) if one.get("type") == "close"]
        # In SDKs before `close_reason`, only the last event says why the session closed.
        closed = _first(parts, "close_reason") or (closing[-1].get("reason") if closing else None)
        word = str(closed or _first(parts, "end_reason") or "").lower().removeprefix("cr_")
        end = _ENDS.get(word, ReportEnd.AGENT_ENDED)
        error = _first(parts, "error")
        extra = cut_off(self.model_extra, MAX_REPORT_LEVELS)
        return AgentReport(
            attempt=attempt,
            job_id=_text(_first(parts, "job_id"), 200) or None,
            end_reason=end,
            error=_text(error, 500) if isinstance(error, str) and end is ReportEnd.ERROR else None,
            turns=list(_turns(items, attempt, now)),
            tool_calls=list(_tool_calls(items)),
            hand_offs=list(_hand_offs(items)),
            usage=list(_usage(_first(parts, "usage", "model_usage"))),
            started_at=_time(_first(parts, "started_at")),
            ended_at=_time(_first(parts, "ended_at", "timestamp")) or now,
            close_reason=_text(closed, 100) or None,
            agent_version=_version(_first(parts, "agent_version", "sdk_version")),
            foreign=True,
            unreadable=[] if extra is self.model_extra else ["sdk_report"],
        ).model_copy(update={"sdk_report": _without_instructions(extra)})


def _parts(report: ForeignReport) -> list[Fields]:
    """The session reports inside the report, then the report itself."""
    outer = _snake(report.model_extra or {})
    inner = (outer.get(name) for name in _REPORTS)
    return [*(_snake(cast(Fields, one)) for one in inner if isinstance(one, dict)), outer]


def _snake(fields: Fields) -> Fields:
    """The fields in snake case, as in the Python SDK; the Node SDK writes camel case."""
    named: Fields = {}
    for name, value in fields.items():
        plain = _HUMP.sub(lambda hump: f"_{hump[0].lower()}", name)
        if named.get(plain) is None or (plain == name and value is not None):
            named[plain] = value
    return named


def _first(parts: list[Fields], *names: str) -> Any:
    found = (part[name] for part in parts for name in names if part.get(name) is not None)
    return next(found, None)


def _objects(value: object) -> list[Fields]:
    """The objects in a list; none if it is no list."""
    items = cast(list[object], value) if isinstance(value, list) else []
    return [cast(Fields, item) for item in items if isinstance(item, dict)]


def _items(parts: list[Fields]) -> list[Fields]:
    """The conversation's items: the first history that has any."""
    for part in parts:
        for name in _HISTORIES:
            history = part.get(name)
            if isinstance(history, dict):
                history = cast(Fields, history).get("items", cast(Fields, history).get("messages"))
            if isinstance(history, list):
                items = _objects(cast(list[object], history)[:MAX_ITEMS])
                if items:
                    return [_snake(item) for item in items]
    return []


def _turns(items: list[Fields], attempt: int, now: datetime) -> Iterator[Turn]:
    for number, item in enumerate(items):
        role = _ROLES.get(str(item.get("role", item.get("speaker", ""))).lower())
        if role is None or item.get("type", "message") != "message":
            continue
        text = _spoken(item)
        if not text.strip():
            continue
        # A made-up id is the same if the report is sent again.
        made_up = f"item-{number}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        metrics = item.get("metrics")
        measured = _snake(cast(Fields, metrics)) if isinstance(metrics, dict) else {}
        yield Turn(
            item_id=_text(item.get("id") or item.get("item_id"), 200) or made_up,
            attempt=attempt,
            seq=number,
            role=role,
            text=text[:MAX_TURN_CHARS],
            created_at=_time(_first([item], "created_at", "timestamp")) or now,
            interrupted=item.get("interrupted") is True,
            started_speaking_at=_time(measured.get("started_speaking_at")),
            stopped_speaking_at=_time(measured.get("stopped_speaking_at")),
            metrics={
                _text(name, 100): value
                for name, value in measured.items()
                if is_number(value) and not name.endswith("_speaking_at")
            },
        )


def _spoken(item: Fields) -> str:
    content = _first([item], "content", "text", "text_content", "transcript", "message")
    parts = cast(list[object], content) if isinstance(content, list) else [content]
    texts: list[str] = []
    for part in parts:
        if isinstance(part, dict):
            part = cast(Fields, part).get("text") or cast(Fields, part).get("transcript")
        if isinstance(part, str) and part:
            texts.append(_text(part, MAX_TURN_CHARS))
    return "\n".join(texts)


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
    """The JSON that the model wrote, or the JSON of what was parsed from it."""
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


def _usage(value: object) -> Iterator[ModelUsage]:
    for entry in _objects(value):
        fields = _snake(entry)
        # The Node SDK reports durations in milliseconds.
        for name in [name for name in fields if name.endswith(_IN_MILLISECONDS)]:
            milliseconds = fields.pop(name)
            if is_number(milliseconds):
                fields.setdefault(name.removesuffix("_ms"), milliseconds / 1000)
        try:
            yield ModelUsage.model_validate(fields)
        except ValidationError:
            # The rest of the report keeps what cannot be read here.
            continue


def _version(value: object) -> str | None:
    known = _text(value, 150)
    return f"livekit-agents {known}" if known and known[0].isdigit() else known or None


def _text(value: object, limit: int) -> str:
    return "" if value is None else writable_text(str(value)[:limit])


def _time(value: object) -> datetime | None:
    """A time in seconds, milliseconds or ISO form; None for anything else."""
    try:
        if isinstance(value, datetime):
            return value
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
        if is_number(value) and value > 0:
            return datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass  # Not a time; the turns are useful without it.
    return None


def _without_instructions(value: Any) -> Any:
    """Remove the agent's instructions, which may hold the customer's data."""
    if isinstance(value, dict):
        fields = cast(Fields, value).items()
        return {name: _without_instructions(one) for name, one in fields if name != "instructions"}
    if isinstance(value, list):
        items = cast(list[Any], value)
        return [_without_instructions(one) for one in items if not _is_instruction(one)]
    return value


def _is_instruction(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    fields = cast(Fields, item)
    return fields.get("type") == "agent_config_update" or fields.get("role") in _INSTRUCTIONS
