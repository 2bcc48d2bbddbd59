"""`/v1/chat/completions`: the dialogue in OpenAI's shape, at once or as a stream."""

import json
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from stack.models.errors import bad_field
from stack.models.tabletalk import dialogue, transcript
from stack.models.tabletalk.persona import persona

CHAT_MODEL = "everline-table-talk"

router = APIRouter()
_PREAMBLE_ROLES = ("system", "developer")
_SUMMARY = re.compile(r"(?i)\b(summar(y|ies|i[sz]e|i[sz]ing)|recap)\b")
_FILLABLE = "this model can only fill a string property `summary`"


class ContentPart(BaseModel):
    """One part of a message; only text parts are read."""

    type: str
    text: str | None = None


class Message(BaseModel):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None

    @property
    def text(self) -> str:
        """All text of the message, whatever shape it came in."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content if part.type == "text")
        return self.content or ""


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class JsonSchema(BaseModel):
    """The schema part of a `json_schema` response format."""

    json_schema: dict[str, Any] = Field(default={}, alias="schema")


class ResponseFormat(BaseModel):
    """In which form the answer has to come."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None


class ChatRequest(BaseModel):
    """Body of `/v1/chat/completions`, as far as this server reads it.

    Offered tools are ignored, as a model may do; a call that is demanded is refused.
    """

    messages: list[Message] = Field(min_length=1, max_length=2000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(default=1, ge=1, le=1)
    response_format: ResponseFormat | None = None
    tool_choice: Literal["auto", "none"] | None = None


@router.post("/v1/chat/completions")
async def complete(request: ChatRequest) -> Response:
    """Answer a chat; the rules take well under a millisecond, so no thread is needed."""
    text = reply(request)
    head = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": int(time.time()),
        "model": CHAT_MODEL,
    }
    # Words, in place of tokens: this model has no tokens.
    prompt = sum(len(message.text.split()) for message in request.messages)
    completion = len(text.split())
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if not request.stream:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        body = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        return JSONResponse(body)
    wants_usage = request.stream_options is not None and request.stream_options.include_usage
    chunks = _chunks(head, text, usage if wants_usage else None)
    return StreamingResponse(chunks, media_type="text/event-stream")


def _chunks(head: dict[str, str | int], text: str, usage: dict[str, int] | None) -> Iterator[str]:
    def event(*choices: dict[str, object], **more: object) -> str:
        body = {**head, "object": "chat.completion.chunk", "choices": choices, **more}
        return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"

    def choice(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, object]:
        return {"index": 0, "delta": delta, "finish_reason": finish_reason}

    yield event(choice({"role": "assistant", "content": ""}))
    for word in re.findall(r"\S+\s*", text):
        yield event(choice({"content": word}))
    yield event(choice({}, "stop"))
    if usage is not None:
        yield event(usage=usage)
    yield "data: [DONE]\n\n"


def reply(request: ChatRequest) -> str:
    """The answer to a chat request: a conversation, an instruction or a summary.

    Raises:
        ApiProblem: 400, naming the field, for what this model cannot do.
    """
    messages = request.messages
    said = [message.text for message in messages if message.role == "user"]
    wanted = request.response_format
    if wanted and wanted.type == "text":
        wanted = None
    if _asks_for_summary(messages, "\n".join(said), wants_json=wanted is not None):
        summary = transcript.summarise("\n".join(said))
        if wanted is None:
            return summary
        if wanted.json_schema:
            _check_schema(wanted.json_schema.json_schema)
        return json.dumps({"summary": summary}, ensure_ascii=False)
    if wanted:
        raise bad_field(
            "response_format", f"{_FILLABLE}, for a request to summarise; use text to converse"
        )
    preamble = takewhile(lambda message: message.role in _PREAMBLE_ROLES, messages)
    prompt = "\n".join(message.text for message in preamble)
    # LiveKit's generate_reply(instructions=…) appends a system message after the conversation.
    last = messages[-1]
    instruction = last.text if last.role in _PREAMBLE_ROLES else None
    return dialogue.answer(said, persona(prompt), instruction)


def _asks_for_summary(messages: Sequence[Message], said: str, *, wants_json: bool) -> bool:
    """Whether a transcript is to be summarised.

    An agent's instructions may mention a summary too ("summarise the booking at the end"), so a
    conversation that is going on is never taken for such a request.
    """
    if any(message.role == "assistant" for message in messages):
        return False
    asked = any(_SUMMARY.search(message.text) for message in messages)
    return asked and (wants_json or transcript.names_speakers(said))


def _check_schema(schema: dict[str, Any]) -> None:
    properties = schema.get("properties")
    others = [name for name in schema.get("required", []) if name != "summary"]
    if isinstance(properties, dict) and (others or "summary" not in properties):
        what = f", not {', '.join(others)}" if others else ""
        raise bad_field("response_format.json_schema", f"{_FILLABLE}{what}")
