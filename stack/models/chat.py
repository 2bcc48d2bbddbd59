"""`/v1/chat/completions`: the dialogue in OpenAI's shape, at once or as a stream."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse

from stack.models.reply import CHAT_MODEL, reply
from stack.models.requests import ChatRequest

router = APIRouter()
_WORD = re.compile(r"\S+\s*")


@router.post("/v1/chat/completions")
async def complete(request: ChatRequest) -> Response:
    """Answer a chat; the rules take well under a millisecond, so no thread is needed."""
    text = reply(request)
    head = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": int(time.time()),
        "model": CHAT_MODEL,
    }
    usage = _usage(request, text)
    if not request.stream:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        body = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        return JSONResponse(body)
    wants_usage = request.stream_options is not None and request.stream_options.include_usage
    chunks = _chunks(head, text, usage if wants_usage else None)
    return StreamingResponse(chunks, media_type="text/event-stream")


def _usage(request: ChatRequest, text: str) -> dict[str, int]:
    """Words, in place of tokens: this model has no tokens."""
    prompt = sum(len(message.text.split()) for message in request.messages)
    completion = len(text.split())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _chunks(head: dict[str, str | int], text: str, usage: dict[str, int] | None) -> Iterator[str]:
    def event(delta: dict[str, str], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return _sse({**head, "object": "chat.completion.chunk", "choices": [choice]})

    yield event({"role": "assistant", "content": ""})
    for word in _WORD.findall(text):
        yield event({"content": word})
    yield event({}, "stop")
    if usage is not None:
        yield _sse({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    yield "data: [DONE]\n\n"


def _sse(body: dict[str, object]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
