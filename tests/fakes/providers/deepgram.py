"""Deepgram: speech in both directions over WebSockets, and whose key it is."""

import json
from array import array

from aiohttp import WSMsgType, web

from stack.demo.hearing import level
from tests.fakes.providers.provider import (
    ANSWER_SECONDS,
    JSON,
    FakeProvider,
    Listener,
    bearer,
)
from tests.fakes.realtime.sound import tone


class Deepgram(FakeProvider):
    """Listening (nova, flux) and speaking (aura)."""

    def routes(self) -> list[web.RouteDef]:
        """Below `/v1`; flux has a version of its own."""
        return [
            web.get("/v1/auth/token", self._token),
            web.get("/v1/listen", self._listen),
            web.get("/v2/listen", self._listen_to_turns),
            web.get("/v1/speak", self._speak),
        ]

    def key_of(self, request: web.Request) -> str:
        """`Authorization: Token …`."""
        return bearer(request)

    async def _token(self, request: web.Request) -> web.Response:
        await self.note(request)
        return web.json_response({"scopes": ["usage:write"]})

    async def _listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        listener = Listener(int(request.query["sample_rate"]), self.script)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                self.loudness.append(level(array("h", message.data)))
                text = listener.hear(message.data)
                if text is not None:
                    await socket.send_json(_results(text))
            elif json.loads(message.data)["type"] == "CloseStream":
                break
        return socket

    async def _listen_to_turns(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        listener = Listener(int(request.query["sample_rate"]), self.script)
        await socket.send_json({"type": "Connected", "request_id": "dg_2", "sequence_id": 0})
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                text = listener.hear(message.data)
                if text is not None:
                    await socket.send_json(_turn_info("StartOfTurn", text.partition(" ")[0]))
                    await socket.send_json(_turn_info("EndOfTurn", text))
            elif json.loads(message.data)["type"] == "CloseStream":
                break
        return socket

    async def _speak(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        rate = int(request.query["sample_rate"])
        words: list[str] = []
        async for message in socket:
            packet: JSON = json.loads(message.data)
            if packet["type"] == "Speak":
                words.append(packet["text"])
            elif packet["type"] == "Flush":
                await self.note_spoken("".join(words))
                words.clear()
                await socket.send_bytes(tone(ANSWER_SECONDS, rate))
                await socket.send_json({"type": "Flushed", "sequence_id": 0})
            elif packet["type"] == "Close":
                break
        return socket


def _turn_info(event: str, text: str) -> JSON:
    return {
        "type": "TurnInfo",
        "event": event,
        "request_id": "dg_2",
        "turn_index": 0,
        "audio_window_start": 0.0,
        "audio_window_end": 2.0,
        "transcript": text,
        "words": [{"word": word, "confidence": 0.99} for word in text.split()],
        "end_of_turn_confidence": 0.9,
    }


def _results(text: str) -> JSON:
    alternative: JSON = {"transcript": text, "confidence": 0.99, "words": []}
    return {
        "type": "Results",
        "metadata": {"request_id": "dg_1"},
        "is_final": True,
        "speech_final": True,
        "channel": {"alternatives": [alternative]},
    }
