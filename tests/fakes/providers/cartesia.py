"""Cartesia: speech in both directions over WebSockets, and the list of voices."""

import base64
import json

from aiohttp import WSMsgType, web

from tests.fakes.providers.provider import ANSWER_SECONDS, CLOSED, JSON, FakeProvider, Listener
from tests.fakes.realtime.sound import tone

VOICE = "a0e99841-438c-4a64-b679-ae501e7d6091"


class Cartesia(FakeProvider):
    """The socket of TTS and both of STT: of whisper-like models, and of those that hear turns."""

    def routes(self) -> list[web.RouteDef]:
        """As of the API version that the plugin names."""
        return [
            web.get("/voices", self._voices),
            web.get("/voices/{voice}", self._voice),
            web.get("/tts/websocket", self._speak),
            web.get("/stt/websocket", self._listen),
            web.get("/stt/turns/websocket", self._listen_to_turns),
        ]

    def key_of(self, request: web.Request) -> str:
        """A header of its own."""
        return request.headers.get("X-API-Key", "")

    async def _voices(self, request: web.Request) -> web.Response:
        await self.note(request)
        return web.json_response({"data": []})

    async def _voice(self, request: web.Request) -> web.Response:
        await self.note(request)
        if request.match_info["voice"] == VOICE:
            return web.json_response({"id": VOICE})
        return web.json_response({"title": "Voice not found"}, status=404)

    async def _speak(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        started: set[str] = set()
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            packet: JSON = json.loads(message.data)
            context = packet["context_id"]
            await self.note(request, packet)
            if packet.get("transcript", "").strip():
                started.add(context)
                await self.note_spoken(packet["transcript"])
            if packet.get("continue") is False and context in started:
                sound = tone(ANSWER_SECONDS, packet["output_format"]["sample_rate"])
                data = base64.b64encode(sound).decode()
                await socket.send_json({"type": "chunk", "context_id": context, "data": data})
                await socket.send_json({"type": "done", "context_id": context, "done": True})
        return socket

    async def _listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        listener = Listener(int(request.query["sample_rate"]), self.script)
        async for message in socket:
            if message.type in CLOSED or message.data == "close":
                break
            if message.type is WSMsgType.BINARY and (text := listener.hear(message.data)):
                await socket.send_json(
                    {"type": "transcript", "text": text, "is_final": True, "duration": 1.0}
                )
        return socket

    async def _listen_to_turns(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        listener = Listener(int(request.query["sample_rate"]), self.script)
        await socket.send_json({"type": "connected", "request_id": "ca_1"})
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                break
            if text := listener.hear(message.data):
                await socket.send_json({"type": "turn.start", "request_id": "ca_1"})
                for kind in ("turn.update", "turn.end"):
                    event = {"type": kind, "transcript": text, "request_id": "ca_1"}
                    await socket.send_json(event)
        return socket
