"""Google's Gemini Live API: `BidiGenerateContent` over a WebSocket."""

import asyncio
import base64
import re
import ssl
from pathlib import Path
from typing import Any, cast

from aiohttp import WSMsgType, web

from tests.fakes.realtime.certificate import own_certificate
from tests.fakes.realtime.provider import (
    JSON,
    OUTPUT_RATE,
    Connection,
    Exchange,
    FakeProvider,
    Refusal,
)
from tests.fakes.realtime.sound import Heard, tone

_INPUT_RATE = 16_000
_PATH = "/ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent"
_SNAKE = re.compile(r"_([a-z])")
_USAGE = {"promptTokenCount": 10, "responseTokenCount": 20, "totalTokenCount": 30}


class GeminiLive(FakeProvider):
    """With its own turn detection; resumable if it `gives_handles`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.gives_handles = False
        self.may_finish = asyncio.Event()
        """While it is not set, a sentence stays without its end."""
        self.may_finish.set()
        self.unfinished = False
        """Whether there is such a sentence."""
        self.certificate = folder / "gemini.pem"
        """To be trusted by the client, which speaks TLS in any case."""

    def tls(self) -> ssl.SSLContext:
        """A certificate of its own."""
        return own_certificate(self.certificate)

    @property
    def url(self) -> str:
        """Base URL, without a version."""
        return f"https://127.0.0.1:{self.port}"

    def routes(self) -> list[web.RouteDef]:
        """The socket alone."""
        return [web.get(_PATH, self._serve)]

    def reset(self) -> None:
        """Forget everything, handles among it."""
        super().reset()
        self.gives_handles = False
        self.may_finish.set()

    async def go_away(self, seconds: float) -> None:
        """Announce the end of the latest connection."""
        await self.latest.send({"goAway": {"timeLeft": f"{seconds:g}s"}})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.refusal is Refusal.DOWN:
            return web.Response(status=503)
        connection = await self.connect(request, _INPUT_RATE)
        async for message in connection.socket:
            if message.type is WSMsgType.TEXT and self.refusal is not Refusal.SILENCE:
                await self._receive(connection, message.json())
        return connection.socket

    async def _receive(self, connection: Connection, sent: JSON) -> None:
        message: JSON = _camel(sent)
        audio: JSON | None = message.get("realtimeInput", {}).get("audio")
        if audio is not None:
            await self._hear(connection, audio["data"])
            return
        await self.note(connection, message)
        if "setup" in message:
            await self._set_up(connection, message["setup"])
        elif message.get("clientContent", {}).get("turnComplete"):
            turns: list[JSON] = message["clientContent"].get("turns") or []
            texts = [part.get("text", "") for turn in turns for part in turn["parts"]]
            await self._say(connection, self.words_for(" ".join(texts[:1])))
        elif "toolResponse" in message and connection.exchange is not None:
            pending, connection.exchange = connection.exchange, None
            await self._say(connection, pending.answer)

    async def _set_up(self, connection: Connection, setup: JSON) -> None:
        connection.setup = setup
        if self.refusal is Refusal.KEY:
            reason = b"API key not valid. Please pass a valid API key."
            await connection.socket.close(code=1007, message=reason)
        elif self.refusal is Refusal.MODEL:
            reason = b"models/x is not found for API version v1beta"
            await connection.socket.close(code=1008, message=reason)
        else:
            await connection.send({"setupComplete": {"sessionId": self.next_id("session")}})

    async def _hear(self, connection: Connection, data: str) -> None:
        heard = connection.ear.hear(base64.urlsafe_b64decode(data))
        if heard is Heard.STOPPED:
            await self.noticed()
            exchange = self.next_exchange()
            await self._content(connection, inputTranscription={"text": f" {exchange.heard}"})
            if exchange.tool:
                await self._call_tool(connection, exchange)
            else:
                await self._say(connection, exchange.answer)

    async def _call_tool(self, connection: Connection, exchange: Exchange) -> None:
        connection.exchange = exchange
        call = {"id": self.next_id("call"), "name": exchange.tool, "args": exchange.arguments}
        await connection.send({"toolCall": {"functionCalls": [call]}})

    async def _say(self, connection: Connection, text: str) -> None:
        data = base64.b64encode(tone(self.answer_seconds, OUTPUT_RATE)).decode()
        part = {"inlineData": {"mimeType": f"audio/pcm;rate={OUTPUT_RATE}", "data": data}}
        await self._content(connection, modelTurn={"role": "model", "parts": [part]})
        await self._content(connection, outputTranscription={"text": text})
        self.unfinished = not self.may_finish.is_set()
        await self.noticed()
        await self.may_finish.wait()
        self.unfinished = False
        await self._content(connection, generationComplete=True)
        await connection.send({"usageMetadata": _USAGE})
        await self._content(connection, turnComplete=True)
        if self.gives_handles:
            update = {"newHandle": self.next_id("handle"), "resumable": True}
            await connection.send({"sessionResumptionUpdate": update})

    async def _content(self, connection: Connection, **content: Any) -> None:
        await connection.send({"serverContent": content})


def _camel(value: Any) -> Any:
    """Names as the documentation has them: the service takes snake_case as well, and gets both."""
    if isinstance(value, dict):
        fields = cast(JSON, value)
        return {_SNAKE.sub(_upper, name): _camel(each) for name, each in fields.items()}
    if isinstance(value, list):
        return [_camel(each) for each in cast(list[Any], value)]
    return value


def _upper(match: re.Match[str]) -> str:
    return match.group(1).upper()
