"""The OpenAI protocol over HTTP: OpenAI itself, Groq, and every compatible server."""

import json

from aiohttp import web

from tests.fakes.providers.provider import ANSWER_SECONDS, JSON, FakeProvider, bearer
from tests.fakes.realtime.sound import tone

RATE = 24_000


class OpenAiCompatible(FakeProvider):
    """Chat with streaming, transcriptions, speech, and the list of models."""

    models: tuple[str, ...] = ("gpt-4.1-mini", "gpt-4o-mini-transcribe", "gpt-4o-mini-tts")

    def routes(self) -> list[web.RouteDef]:
        """Below `/v1`."""
        return [
            web.get("/v1/models/{model:.+}", self._model),
            web.post("/v1/chat/completions", self._chat),
            web.post("/v1/audio/transcriptions", self._transcribe),
            web.post("/v1/audio/speech", self._speak),
        ]

    def key_of(self, request: web.Request) -> str:
        """A bearer token."""
        return bearer(request)

    async def _model(self, request: web.Request) -> web.Response:
        await self.note(request)
        name = request.match_info["model"]
        if name in self.models:
            return web.json_response({"id": name, "object": "model"})
        error = {"code": "model_not_found", "message": f"The model {name!r} does not exist"}
        return web.json_response({"error": error}, status=404)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body: JSON = await request.json()
        await self.note(request, body)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        called = any(message["role"] == "tool" for message in body["messages"])
        if self.script.tool and not called:
            function = {"name": self.script.tool, "arguments": "{}"}
            call = {"index": 0, "id": "call_1", "type": "function", "function": function}
            await _send(answer, {"role": "assistant", "tool_calls": [call]})
            await _send(answer, {}, finish="tool_calls")
        else:
            # In pieces that cut words, as models do.
            text = self.script.answer
            for start in range(0, len(text), 3):
                await _send(answer, {"role": "assistant", "content": text[start : start + 3]})
            await _send(answer, {}, finish="stop")
        await answer.write(b"data: [DONE]\n\n")
        return answer

    async def _transcribe(self, request: web.Request) -> web.Response:
        form = await request.post()
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        await self.note(request, fields)
        return web.json_response({"text": self.script.heard})

    async def _speak(self, request: web.Request) -> web.Response:
        body: JSON = await request.json()
        await self.note(request, body)
        await self.note_spoken(body["input"])
        if body.get("response_format") == "wav":
            return web.Response(body=_wav(), content_type="audio/wav")
        return web.Response(body=tone(ANSWER_SECONDS, RATE), content_type="audio/pcm")


async def _send(answer: web.StreamResponse, delta: JSON, finish: str | None = None) -> None:
    chunk = {
        "id": "chat_1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "any",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    await answer.write(f"data: {json.dumps(chunk)}\n\n".encode())


def _wav() -> bytes:
    pcm = tone(ANSWER_SECONDS, RATE)
    size = len(pcm)
    head = b"RIFF" + (36 + size).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    form = (1).to_bytes(2, "little") + (1).to_bytes(2, "little") + RATE.to_bytes(4, "little")
    form += (
        (2 * RATE).to_bytes(4, "little") + (2).to_bytes(2, "little") + (16).to_bytes(2, "little")
    )
    return head + form + b"data" + size.to_bytes(4, "little") + pcm
