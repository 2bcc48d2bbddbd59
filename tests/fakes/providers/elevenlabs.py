"""ElevenLabs: many voices at once on one WebSocket, ears with and without one, and the lists."""

import base64
import json

from aiohttp import WSMsgType, web

from tests.fakes.providers.provider import ANSWER_SECONDS, JSON, FakeProvider, Listener
from tests.fakes.realtime.sound import tone

VOICE = "21m00Tcm4TlvDq8ikWAM"


class ElevenLabs(FakeProvider):
    """The multi-context sockets of text to speech and of dialogues, and speech to text."""

    def routes(self) -> list[web.RouteDef]:
        """Below `/v1`."""
        return [
            web.get("/v1/voices/{voice}", self._voice),
            web.get("/v1/models", self._models),
            web.get("/v1/text-to-speech/{voice}/multi-stream-input", self._speak),
            web.get("/v1/text-to-dialogue/multi-stream-input", self._speak_dialogue),
            web.post("/v1/speech-to-text", self._transcribe),
            web.get("/v1/speech-to-text/realtime", self._listen),
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

    async def _models(self, request: web.Request) -> web.Response:
        await self.note(request)
        return web.json_response([])

    async def _transcribe(self, request: web.Request) -> web.Response:
        form = await request.post()
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        await self.note(request, fields)
        return web.json_response({"text": self.script.heard, "language_code": "eng", "words": []})

    async def _listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        listener = Listener(int(request.query["audio_format"].removeprefix("pcm_")), self.script)
        by_itself = request.query["commit_strategy"] == "vad"
        heard: list[str] = []
        await socket.send_json({"message_type": "session_started", "session_id": "el_1"})
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            packet: JSON = json.loads(message.data)
            if text := listener.hear(base64.b64decode(packet["audio_base_64"])):
                heard.append(text)
                await socket.send_json({"message_type": "partial_transcript", "text": text})
            if packet["commit"] or (by_itself and heard):
                # Every commit comes twice.
                for kind in ("committed_transcript", "committed_transcript_with_timestamps"):
                    await socket.send_json({"message_type": kind, "text": " ".join(heard)})
                heard.clear()
        return socket

    async def _speak_dialogue(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        rate = int(request.query["output_format"].removeprefix("pcm_"))
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            packet: JSON = json.loads(message.data)
            context = {"context_id": packet["context_id"]}
            if "voices" in packet:
                await self.note(request, packet)
            for each in packet.get("inputs", []):
                await self.note_spoken(each["text"])
            if packet.get("close_context"):
                audio = base64.b64encode(tone(ANSWER_SECONDS, rate)).decode()
                await socket.send_json({**context, "audio": audio})
                await socket.send_json({**context, "is_final": True})
        return socket

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
