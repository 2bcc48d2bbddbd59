"""From a chat request to the answer's text: a conversation, an instruction or a summary."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import cast

from stack.models.errors import ApiProblem, bad_field
from stack.models.requests import ChatRequest, Message, ResponseFormat
from stack.models.tabletalk import dialogue, transcript
from stack.models.tabletalk.persona import persona

CHAT_MODEL = "everline-table-talk"

_PREAMBLE_ROLES = ("system", "developer")
_SUMMARY = re.compile(r"(?i)\b(summar(y|ies|i[sz]e|i[sz]ing)|recap)\b")
_FILLABLE = "this model can only fill a string property `summary`"


def reply(request: ChatRequest) -> str:
    """The answer to a chat request.

    Raises:
        ApiProblem: 400, naming the field, for what this model cannot do.
    """
    _refuse_forced_tools(request.tool_choice)
    wants_json = request.response_format is not None and request.response_format.type != "text"
    if _asks_for_summary(request.messages, wants_json=wants_json):
        summary = transcript.summarise(_user_text(request.messages))
        return _as_json(summary, request.response_format) if wants_json else summary
    if wants_json:
        raise bad_field(
            "response_format", f"{_FILLABLE}, for a request to summarise; use text to converse"
        )
    return _converse(request.messages)


def _refuse_forced_tools(tool_choice: str | Mapping[str, object] | None) -> None:
    # Offered tools are ignored, as a model may; a call that is demanded cannot be made up.
    if tool_choice == "required" or isinstance(tool_choice, Mapping):
        raise bad_field("tool_choice", "this model never calls tools; use auto or none")


def _asks_for_summary(messages: Sequence[Message], *, wants_json: bool) -> bool:
    """Whether a transcript is to be summarised.

    An agent's instructions may mention a summary too ("summarise the booking at the end"), so a
    conversation that is going on is never taken for such a request.
    """
    if any(message.role == "assistant" for message in messages):
        return False
    content = _user_text(messages)
    asked = any(_SUMMARY.search(message.text) for message in messages)
    return asked and (wants_json or transcript.looks_like_transcript(content))


def _user_text(messages: Sequence[Message]) -> str:
    return "\n".join(message.text for message in messages if message.role == "user")


def _as_json(summary: str, wanted: ResponseFormat | None) -> str:
    schema = wanted.json_schema.json_schema if wanted and wanted.json_schema else {}
    _check_schema(schema)
    return json.dumps({"summary": summary}, ensure_ascii=False)


def _check_schema(schema: Mapping[str, object]) -> None:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return
    known = cast(Mapping[str, object], properties)
    required = schema.get("required", [])
    others = [name for name in cast(list[str], required) if name != "summary"]
    if "summary" not in known or others:
        raise _unfillable(others)


def _unfillable(names: Sequence[str]) -> ApiProblem:
    what = f", not {', '.join(names)}" if names else ""
    return bad_field("response_format.json_schema", f"{_FILLABLE}{what}")


def _converse(messages: Sequence[Message]) -> str:
    turns = [message.text for message in messages if message.role == "user"]
    first_turn = next(
        (i for i, message in enumerate(messages) if message.role not in _PREAMBLE_ROLES),
        len(messages),
    )
    prompts = [message.text for message in messages[:first_turn]]
    last = messages[-1]
    # LiveKit's generate_reply(instructions=…) appends a system message after the conversation.
    instruction = last.text if last.role in _PREAMBLE_ROLES else None
    return dialogue.answer(turns, persona("\n".join(prompts)), instruction)
