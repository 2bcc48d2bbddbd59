"""Google's Gemini API: content as server-sent events, and the list of models."""

import json

from aiohttp import web

from tests.fakes.providers.provider import JSON, FakeProvider

MODEL = "gemini-2.5-flash"


class Gemini(FakeProvider):
    """Chat models."""

    def routes(self) -> list[web.RouteDef]:
        """Below `/v1beta`."""
        return [
            web.get("/v1beta/models/{model}", self._model),
            web.post("/v1beta/models/{call}", self._generate),
        ]

    def key_of(self, request: web.Request) -> str:
        """A header of its own."""
        return request.headers.get("x-goog-api-key", "")

    async def _model(self, request: web.Request) -> web.Response:
        await self.note(request)
        if request.match_info["model"] == MODEL:
            return web.json_response({"name": f"models/{MODEL}"})
        error = {"code": 404, "status": "NOT_FOUND", "message": "model"}
        return web.json_response({"error": error}, status=404)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        await self.note(request, await request.json())
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        content = {"role": "model", "parts": [{"text": self.script.answer}]}
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 7, "totalTokenCount": 17}
        chunk: JSON = {"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}]}
        chunk |= {"usageMetadata": usage, "modelVersion": MODEL, "responseId": "g_1"}
        await answer.write(f"data: {json.dumps(chunk)}\n\n".encode())
        return answer
