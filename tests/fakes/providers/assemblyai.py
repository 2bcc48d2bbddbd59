"""AssemblyAI: streaming speech to text."""

import json
import time

from aiohttp import WSMsgType, web

from tests.fakes.providers.provider import JSON, FakeProvider, Listener


class AssemblyAi(FakeProvider):
    """The version 3 socket, and its tokens."""

    def routes(self) -> list[web.RouteDef]:
        """Below `/v3`."""
        return [web.get("/v3/token", self._token), web.get("/v3/ws", self._listen)]

    def key_of(self, request: web.Request) -> str:
        """The bare key."""
        return request.headers.get("Authorization", "")

    async def _token(self, request: web.Request) -> web.Response:
        await self.note(request)
        return web.json_response({"token": "short-lived"})

    async def _listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        listener = Listener(int(request.query["sample_rate"]), self.script)
        begin = {"type": "Begin", "id": "aai_1", "expires_at": int(time.time()) + 3600}
        await socket.send_json(begin)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                text = listener.hear(message.data)
                if text is not None:
                    await socket.send_json(_turn(text))
            elif json.loads(message.data)["type"] == "Terminate":
                await socket.send_json({"type": "Termination"})
                break
        return socket


def _turn(text: str) -> JSON:
    words = [
        {"text": word, "start": 100 * n, "end": 100 * n + 90, "confidence": 0.99}
        for n, word in enumerate(text.split())
    ]
    return {
        "type": "Turn",
        "turn_order": 0,
        "transcript": text,
        "words": words,
        "end_of_turn": True,
        "turn_is_formatted": True,
    }
