"""Anthropic: messages as server-sent events, and the list of models."""

import json

from aiohttp import web

from tests.fakes.providers.provider import JSON, FakeProvider

MODEL = "claude-sonnet-4-6"


class Anthropic(FakeProvider):
    """The messages API."""

    def routes(self) -> list[web.RouteDef]:
        """Below `/v1`."""
        return [
            web.get("/v1/models/{model}", self._model),
            web.post("/v1/messages", self._messages),
        ]

    def key_of(self, request: web.Request) -> str:
        """A header of its own."""
        return request.headers.get("x-api-key", "")

    async def _model(self, request: web.Request) -> web.Response:
        await self.note(request)
        if request.match_info["model"] == MODEL:
            return web.json_response({"id": MODEL, "type": "model"})
        error = {"type": "not_found_error", "message": "model"}
        return web.json_response({"type": "error", "error": error}, status=404)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        await self.note(request, await request.json())
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        usage = {"input_tokens": 10, "output_tokens": 1}
        message: JSON = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL}
        message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        text = {"type": "text_delta", "text": self.script.answer}
        await _send(answer, "message_start", message=message)
        await _send(answer, "content_block_start", index=0, content_block=_EMPTY)
        await _send(answer, "content_block_delta", index=0, delta=text)
        await _send(answer, "content_block_stop", index=0)
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        await _send(answer, "message_delta", delta=delta, usage={"output_tokens": 7})
        await _send(answer, "message_stop")
        return answer


_EMPTY = {"type": "text", "text": ""}


async def _send(answer: web.StreamResponse, kind: str, **fields: object) -> None:
    event = json.dumps({"type": kind, **fields})
    await answer.write(f"event: {kind}\ndata: {event}\n\n".encode())
