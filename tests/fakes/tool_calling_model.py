"""A chat model over the wire that calls a tool, in front of the stack's real speech models."""

from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.fakes.scripted_chat import Call, stream_reply

JSON = dict[str, Any]


@dataclass
class ToolCallingModel:
    """Calls `tool` when the caller says `trigger`; hearing and speaking go to `speech_url`."""

    speech_url: str
    tool: str
    trigger: str
    requests: list[JSON] = field(default_factory=list[JSON])
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Base URL, without `/v1`."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/audio/{stage}", self._pass_on),
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
        body: JSON = await request.json()
        self.requests.append(body)
        last = body["messages"][-1]
        offered = [tool["function"]["name"] for tool in body.get("tools", [])]
        if last["role"] == "user" and self.trigger in str(last["content"]).lower():
            assert self.tool in offered, offered
            return await stream_reply(request, Call(self.tool), number)
        return await stream_reply(request, "Goodbye and thank you.", number)

    async def _pass_on(self, request: web.Request) -> web.Response:
        headers = {"Content-Type": request.headers["Content-Type"]}
        async with (
            aiohttp.ClientSession() as client,
            client.post(
                f"{self.speech_url}{request.path}", data=await request.read(), headers=headers
            ) as answer,
        ):
            return web.Response(
                body=await answer.read(),
                status=answer.status,
                headers={"Content-Type": answer.headers["Content-Type"]},
            )
