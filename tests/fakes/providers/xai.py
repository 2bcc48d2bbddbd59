"""xAI: chat over the responses API, speech in both directions over WebSockets."""

import base64
import json
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.providers.provider import ANSWER_SECONDS, JSON, FakeProvider, Listener, bearer
from tests.fakes.realtime.sound import tone

MODEL = "grok-4.3"


class Xai(FakeProvider):
    """All but its realtime models."""

    def routes(self) -> list[web.RouteDef]:
        """Below `/v1`."""
        return [
            web.get("/v1/models", self._models),
            web.post("/v1/responses", self._respond),
            web.get("/v1/stt", self._listen),
            web.get("/v1/tts", self._speak),
        ]

    def key_of(self, request: web.Request) -> str:
        """A bearer token."""
        return bearer(request)

    async def _models(self, request: web.Request) -> web.Response:
        await self.note(request)
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        body: JSON = await request.json()
        await self.note(request, body)
        events = _Events(request)
        await events.begin(body["model"])
        await events.message(self.script.answer)
        return await events.end()

    async def _listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        listener = Listener(int(request.query["sample_rate"]), self.script)
        await socket.send_json({"type": "transcript.created"})
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                break
            if text := listener.hear(message.data):
                partial = {"type": "transcript.partial", "text": text, "language": "en"}
                for stage in ({}, {"is_final": True}, {"is_final": True, "speech_final": True}):
                    await socket.send_json({**partial, **stage})
        return socket

    async def _speak(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self.socket(request)
        words: list[str] = []
        async for message in socket:
            packet: JSON = json.loads(message.data)
            if packet["type"] == "text.delta":
                words.append(packet["delta"])
            elif packet["type"] == "text.done":
                await self.note_spoken(" ".join(words))
                words.clear()
                sound = tone(ANSWER_SECONDS, int(request.query["sample_rate"]))
                audio = base64.b64encode(sound).decode()
                await socket.send_json({"type": "audio.delta", "delta": audio})
                await socket.send_json({"type": "audio.done"})
        return socket


class _Events:
    """The server-sent events of one response."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._number = 0
        self._response: JSON = {"id": "resp_1", "object": "response", "created_at": 1}
        self._response |= {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}

    async def begin(self, model: str) -> None:
        await self._answer.prepare(self._request)
        self._response |= {"model": model, "status": "in_progress", "output": []}
        await self._send("response.created", response=self._response)

    async def message(self, text: str) -> None:
        place: JSON = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
        # In pieces that cut words, as models do.
        for start in range(0, len(text), 3):
            await self._send("response.output_text.delta", **place, delta=text[start : start + 3])
        content: list[JSON] = [{"type": "output_text", "text": text, "annotations": []}]
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
        self._response["output"] = [{**item, "content": content}]

    async def end(self) -> web.StreamResponse:
        self._response["status"] = "completed"
        await self._send("response.completed", response=self._response)
        return self._answer

    async def _send(self, kind: str, **fields: Any) -> None:
        event = json.dumps({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        await self._answer.write(f"event: {kind}\ndata: {event}\n\n".encode())
