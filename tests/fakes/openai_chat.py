"""A chat-completions server on a real port that answers as a test wants it to."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Answer:
    """One HTTP answer, after `delay` seconds."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    delay: float = 0.0


@dataclass
class ChatRequest:
    """What was asked."""

    headers: Mapping[str, str]
    body: dict[str, Any]


Reply = Callable[[ChatRequest], Answer]


def completion(content: str | None, **choice: Any) -> Answer:
    """A chat completion with this content."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    message |= choice.pop("message", {})
    finished = {"index": 0, "message": message, "finish_reason": "stop"} | choice
    return Answer(body={"id": "c1", "object": "chat.completion", "choices": [finished]})


def error(status: int, code: str | None, message: str, **headers: str) -> Answer:
    """An error in OpenAI's form."""
    body = {"error": {"message": message, "type": "some_error", "param": None, "code": code}}
    return Answer(status, body, {name.replace("_", "-"): text for name, text in headers.items()})


class FakeChatServer:
    """Keeps every request and answers with `reply`, which a test can change at any time."""

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []
        self.reply: Reply = lambda request: completion('{"summary": "They talked."}')
        self.base_url = ""

    async def handle(self, request: web.Request) -> web.Response:
        asked = ChatRequest(request.headers, await request.json())
        self.requests.append(asked)
        answer = self.reply(asked)
        await asyncio.sleep(answer.delay)
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        return web.Response(
            status=answer.status,
            text=text,
            content_type="application/json",
            headers=dict(answer.headers),
        )


@asynccontextmanager
async def fake_chat_server() -> AsyncGenerator[FakeChatServer]:
    """A running server for the block."""
    fake = FakeChatServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()
