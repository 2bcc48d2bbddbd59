"""LiveKit Inference: the gateway's sockets for speech, and its OpenAI-compatible chat."""

import base64
import json

import jwt
from aiohttp import WSMsgType, web

from tests.fakes.providers.openai_compatible import OpenAiCompatible
from tests.fakes.providers.provider import ANSWER_SECONDS, JSON, Listener, bearer
from tests.fakes.realtime.sound import tone

API_KEY = "APIinference"
API_SECRET = "a-secret-of-the-gateway-with-32-characters"


class InferenceGateway(OpenAiCompatible):
    """Its key is a token that the account's secret has signed."""

    def routes(self) -> list[web.RouteDef]:
        """Below `/v1`, with the chat of the OpenAI protocol."""
        speech = [web.get("/v1/stt", self._listen), web.get("/v1/tts", self._talk)]
        return [*super().routes(), *speech]

    def key_of(self, request: web.Request) -> str:
        """Right if the token is signed by the account, for inference."""
        try:
            claims = jwt.decode(bearer(request), API_SECRET, algorithms=["HS256"], issuer=API_KEY)
        except jwt.InvalidTokenError:
            return ""
        return self.key if claims.get("inference", {}).get("perform") else ""

    async def _listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        listener: Listener | None = None
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            packet: JSON = json.loads(message.data)
            kind = packet["type"]
            if kind == "session.create":
                await self.note(request, packet)
                listener = Listener(int(packet["settings"]["sample_rate"]), self.script)
                await socket.send_json({"type": "session.created"})
            elif kind == "input_audio" and listener is not None:
                text = listener.hear(base64.b64decode(packet["audio"]))
                if text is not None:
                    final = {"type": "final_transcript", "transcript": text, "language": "en"}
                    await socket.send_json(final)
            elif kind == "session.close":
                break
        return socket

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        if "upgrade" not in request.headers.get("Connection", "").lower():
            return web.json_response({"error": "not a websocket"}, status=426)
        socket = await self.socket(request)
        rate = 0
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            packet: JSON = json.loads(message.data)
            kind = packet["type"]
            if kind == "session.create":
                await self.note(request, packet)
                rate = int(packet["sample_rate"])
            elif kind == "input_transcript":
                await self.note_spoken(packet["transcript"])
            elif kind == "session.flush":
                audio = base64.b64encode(tone(ANSWER_SECONDS, rate)).decode()
                await socket.send_json(
                    {"type": "output_audio", "session_id": "tts_1", "audio": audio}
                )
                await socket.send_json({"type": "done", "session_id": "tts_1"})
        return socket
