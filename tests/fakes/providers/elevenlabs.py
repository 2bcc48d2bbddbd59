"""ElevenLabs: many voices at once on one WebSocket, and the list of voices."""

import base64
import json

from aiohttp import WSMsgType, web

from tests.fakes.providers.provider import ANSWER_SECONDS, JSON, FakeProvider
from tests.fakes.realtime.sound import tone

VOICE = "21m00Tcm4TlvDq8ikWAM"


class ElevenLabs(FakeProvider):
    """The multi-context socket of text to speech."""

    def routes(self) -> list[web.RouteDef]:
        """Below `/v1`."""
        return [
            web.get("/v1/voices/{voice}", self._voice),
            web.get("/v1/text-to-speech/{voice}/multi-stream-input", self._speak),
        ]

    def key_of(self, request: web.Request) -> str:
        """A header of its own."""
        return request.headers.get("xi-api-key", "")

    async def _voice(self, request: web.Request) -> web.Response:
        await self.note(request)
        if request.match_info["voice"] == VOICE:
            return web.json_response({"voice_id": VOICE})
        detail = {"status": "voice_not_found", "message": "A voice was not found."}
        return web.json_response({"detail": detail}, status=404)

    async def _speak(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        rate = int(request.query["output_format"].removeprefix("pcm_"))
        spoken: set[str] = set()
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            packet: JSON = json.loads(message.data)
            context = packet.get("context_id", "")
            if packet.get("text", "").strip():
                spoken.add(context)
                await self.note_spoken(packet["text"])
            if packet.get("close_context"):
                if context in spoken:
                    audio = base64.b64encode(tone(ANSWER_SECONDS, rate)).decode()
                    await socket.send_json({"audio": audio, "contextId": context})
                await socket.send_json({"isFinal": True, "contextId": context})
        return socket
