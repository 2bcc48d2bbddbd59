"""Ultravox: a call is created over HTTP and joined by a WebSocket, with audio as binary frames."""

from typing import Any

from aiohttp import WSMsgType, web

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
_STATUS = {Refusal.KEY: 401, Refusal.MODEL: 400, Refusal.DOWN: 503}


class Ultravox(FakeProvider):
    """`POST /api/calls`, then the call's own socket."""

    def __init__(self) -> None:
        super().__init__()
        self._created: dict[str, tuple[JSON, dict[str, str]]] = {}
        self._ordinals: dict[int, int] = {}

    @property
    def url(self) -> str:
        """Base URL with its `/api`."""
        return f"http://127.0.0.1:{self.port}/api"

    def routes(self) -> list[web.RouteDef]:
        """Creating and joining calls."""
        return [web.post("/api/calls", self._create), web.get("/join/{call}", self._join)]

    async def _create(self, request: web.Request) -> web.Response:
        if self.refusal in _STATUS:
            return web.json_response({"detail": "refused"}, status=_STATUS[self.refusal])
        call = self.next_id("call")
        self._created[call] = (await request.json(), dict(request.headers))
        url = f"ws://127.0.0.1:{self.port}/join/{call}"
        return web.json_response({"callId": call, "joinUrl": url}, status=201)

    async def _join(self, request: web.Request) -> web.StreamResponse:
        call = request.match_info["call"]
        if self.refusal is Refusal.SILENCE:
            # Nothing is said before the upgrade, which the client waits for.
            await self._never(request)
        connection = await self.connect(request, _INPUT_RATE)
        connection.setup, connection.headers = self._created.pop(call)
        await connection.send({"type": "call_started", "callId": call})
        await self._state(connection, "listening")
        async for message in connection.socket:
            if self.refusal is Refusal.SILENCE:
                continue
            if message.type is WSMsgType.BINARY:
                await self._hear(connection, message.data)
            elif message.type is WSMsgType.TEXT:
                await self._receive(connection, message.json())
        return connection.socket

    async def _never(self, request: web.Request) -> None:
        transport = request.transport
        await self.wait_for(lambda: transport is None or transport.is_closing(), within=60)

    async def _receive(self, connection: Connection, message: JSON) -> None:
        await self.note(connection, message)
        match message["type"]:
            case "user_text_message":
                # Ultravox repeats what it reads.
                await self._transcript(connection, "user", message["text"], medium="text")
                if not message.get("deferResponse"):
                    await self._say(connection, self.words_for(message["text"]))
            case "forced_agent_message":
                await self._say(connection, message["content"])
            case "client_tool_result" if connection.exchange is not None:
                pending, connection.exchange = connection.exchange, None
                await self._say(connection, pending.answer)
            case _:
                pass

    async def _hear(self, connection: Connection, pcm: bytes) -> None:
        heard = connection.ear.hear(pcm)
        if heard is Heard.STARTED:
            await connection.send({"type": "playback_clear_buffer"})
        elif heard is Heard.STOPPED:
            await self.noticed()
            exchange = self.next_exchange()
            await self._state(connection, "thinking")
            await self._transcript(connection, "user", exchange.heard)
            if exchange.tool:
                await self._call_tool(connection, exchange)
            else:
                await self._say(connection, exchange.answer)

    async def _call_tool(self, connection: Connection, exchange: Exchange) -> None:
        connection.exchange = exchange
        await connection.send(
            {
                "type": "client_tool_invocation",
                "toolName": exchange.tool,
                "invocationId": self.next_id("invocation"),
                "parameters": exchange.arguments,
            }
        )

    async def _say(self, connection: Connection, text: str) -> None:
        await self._state(connection, "speaking")
        if not connection.socket.closed:
            await connection.socket.send_bytes(tone(self.answer_seconds, OUTPUT_RATE))
        ordinal = self._next_ordinal(connection)
        words: list[JSON] = [{"delta": text, "final": False}, {"text": text, "final": True}]
        for each in words:
            await self._utterance(connection, role="agent", ordinal=ordinal, **each)
        await self._state(connection, "listening")

    async def _transcript(
        self, connection: Connection, role: str, text: str, medium: str = "voice"
    ) -> None:
        ordinal = self._next_ordinal(connection)
        await self._utterance(
            connection, role=role, text=text, final=True, ordinal=ordinal, medium=medium
        )

    async def _utterance(self, connection: Connection, **fields: Any) -> None:
        await connection.send({"type": "transcript", "medium": "voice", **fields})

    async def _state(self, connection: Connection, state: str) -> None:
        await connection.send({"type": "state", "state": state})

    def _next_ordinal(self, connection: Connection) -> int:
        """Each call counts its utterances from 0."""
        ordinal = self._ordinals.get(id(connection), 0)
        self._ordinals[id(connection)] = ordinal + 1
        return ordinal
