"""A chat model over the wire (OpenAI's protocol) that answers by a script and keeps what it got.

Its voice is a tone, a quarter of a second for each word, so that a whole call needs no other model.
"""

import json
import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

JSON = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    name: str
    arguments: JSON = field(default_factory=dict[str, Any])


Reply = str | Call | tuple[Call, ...]
"""Words, or calls of tools, several at the same time."""


@dataclass
class ScriptedChat:
    """Listens on a loopback port of its own; each request gets the next reply, then `Fine.`"""

    script: Sequence[Reply] = ()
    decide: Callable[[JSON], Reply] | None = None
    """Makes the reply from the request, instead of the script."""
    spoken: list[str] = field(default_factory=list[str])
    """What was spoken, in the order of the requests."""
    requests: list[JSON] = field(default_factory=list[JSON])
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Base URL with `/v1`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def offered(self, request: int = -1) -> dict[str, JSON]:
        """The functions that a request offered, by name."""
        tools = self.requests[request].get("tools", [])
        return {tool["function"]["name"]: tool["function"] for tool in tools}

    def answers_of_tools(self, request: int = -1) -> list[str]:
        """What tools had answered when a request was made."""
        messages = self.requests[request]["messages"]
        return [str(one["content"]) for one in messages if one["role"] == "tool"]

    def instructions(self, request: int = -1) -> str:
        """The system's messages of a request."""
        roles = ("system", "developer")
        messages = self.requests[request]["messages"]
        return "\n".join(str(one["content"]) for one in messages if one["role"] in roles)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/audio/speech", self._speech),
            ]
        )
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        number = len(self.requests)
        self.requests.append(await request.json())
        if self.decide is not None:
            reply = self.decide(self.requests[number])
        else:
            reply = self.script[number] if number < len(self.script) else "Fine."
        return await stream_reply(request, reply, number)

    async def _speech(self, request: web.Request) -> web.Response:
        text = str((await request.json())["input"])
        self.spoken.append(text)
        return web.Response(body=tone(len(text.split()) / 4), content_type="audio/pcm")


def tone(seconds: float) -> bytes:
    """A tone as PCM: 24 kHz, 16 bits, one channel."""
    samples = round(24_000 * seconds)
    wave = (round(9000 * math.sin(2 * math.pi * 220 * i / 24_000)) for i in range(samples))
    return array("h", wave).tobytes()


def _calls(calls: tuple[Call, ...], number: int) -> list[JSON]:
    return [
        {
            "index": index,
            "id": f"call_{number}_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for index, call in enumerate(calls)
    ]


async def stream_reply(request: web.Request, reply: Reply, number: int) -> web.StreamResponse:
    """Answer a request for a completion, as a stream of events."""
    calls = (reply,) if isinstance(reply, Call) else reply
    delta: JSON = {"content": calls}
    reason = "stop"
    if not isinstance(calls, str):
        delta, reason = {"tool_calls": _calls(calls, number)}, "tool_calls"
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for part, finish in (({"role": "assistant", **delta}, None), ({}, reason)):
        chunk = {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "fake",
            "choices": [{"index": 0, "delta": part, "finish_reason": finish}],
        }
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    return response
