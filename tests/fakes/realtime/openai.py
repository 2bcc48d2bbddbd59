"""OpenAI's Realtime API: a WebSocket with JSON events, audio in base64."""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.realtime.provider import (
    JSON,
    OUTPUT_RATE,
    Connection,
    Exchange,
    FakeProvider,
    Refusal,
)
from tests.fakes.realtime.sound import Heard, tone

_INPUT_RATE = 24_000
_USAGE: JSON = {
    "total_tokens": 30,
    "input_tokens": 10,
    "output_tokens": 20,
    "input_token_details": {"text_tokens": 4, "audio_tokens": 6, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
}


class OpenAiRealtime(FakeProvider):
    """`/v1/realtime` with server VAD."""

    def __init__(self) -> None:
        super().__init__()
        self._on: dict[str, Callable[[Connection, JSON], Awaitable[None]]] = {
            "session.update": self._session_update,
            "input_audio_buffer.append": self._append,
            "conversation.item.create": self._item_create,
            "conversation.item.delete": self._item_delete,
            "response.create": self._response_create,
        }

    @property
    def url(self) -> str:
        """Base URL with its `/v1`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def routes(self) -> list[web.RouteDef]:
        """The socket alone."""
        return [web.get("/v1/realtime", self._serve)]

    async def greet(self, connection: Connection) -> None:
        """The first event of a connection."""
        session = {"id": self.next_id("sess"), "model": connection.query["model"]}
        await self.event(connection, "session.created", session=session)

    async def event(self, connection: Connection, kind: str, **fields: Any) -> None:
        """Send an event."""
        await connection.send({"type": kind, "event_id": self.next_id("event"), **fields})

    async def say(self, connection: Connection, text: str, metadata: JSON | None = None) -> None:
        """A response of one spoken message."""
        async with _Response(self, connection, metadata) as response:
            item: JSON = {"id": self.next_id("item"), "type": "message", "role": "assistant"}
            where = {"response_id": response.id, "item_id": item["id"]}
            place = {**where, "output_index": 0, "content_index": 0}
            await response.item_added({**item, "status": "in_progress", "content": []})
            part = {"type": "audio", "transcript": ""}
            await self.event(connection, "response.content_part.added", **place, part=part)
            await self.event(
                connection, "response.output_audio_transcript.delta", **place, delta=text
            )
            audio = base64.b64encode(tone(self.answer_seconds, OUTPUT_RATE)).decode()
            await self.event(connection, "response.output_audio.delta", **place, delta=audio)
            await self.event(connection, "response.output_audio.done", **place)
            content = [{"type": "output_audio", "transcript": text}]
            await response.item_done({**item, "status": "completed", "content": content})

    async def _call_tool(self, connection: Connection, exchange: Exchange) -> None:
        connection.exchange = exchange
        async with _Response(self, connection, None) as response:
            item: JSON = {
                "id": self.next_id("item"),
                "type": "function_call",
                "call_id": self.next_id("call"),
                "name": exchange.tool,
            }
            await response.item_added({**item, "status": "in_progress", "arguments": ""})
            arguments = json.dumps(exchange.arguments)
            await response.item_done({**item, "status": "completed", "arguments": arguments})

    # ── what a client sends ──────────────────────────────────────────────────────────────────────

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.refusal is Refusal.KEY:
            return web.json_response({"error": {"code": "invalid_api_key"}}, status=401)
        if self.refusal is Refusal.DOWN:
            return web.Response(status=503)
        connection = await self.connect(request, _INPUT_RATE)
        if self.refusal is Refusal.MODEL:
            error = {"type": "invalid_request_error", "code": "model_not_found", "message": "no"}
            await self.event(connection, "error", error=error)
            await connection.socket.close(code=4000)
        elif self.refusal is None:
            await self.greet(connection)
        async for message in connection.socket:
            if message.type is WSMsgType.TEXT and self.refusal is None:
                await self._receive(connection, message.json())
        return connection.socket

    async def _receive(self, connection: Connection, event: JSON) -> None:
        if event["type"] != "input_audio_buffer.append":
            await self.note(connection, event)
        handle = self._on.get(event["type"])
        if handle is not None:
            await handle(connection, event)

    async def _session_update(self, connection: Connection, event: JSON) -> None:
        await self.event(connection, "session.updated", session=event["session"])

    async def _append(self, connection: Connection, event: JSON) -> None:
        heard = connection.ear.hear(base64.b64decode(event["audio"]))
        if heard is Heard.STARTED:
            connection.setup["item"] = self.next_id("item")
            await self.event(
                connection,
                "input_audio_buffer.speech_started",
                audio_start_ms=0,
                item_id=connection.setup["item"],
            )
        elif heard is Heard.STOPPED:
            await self.noticed()
            await self._answer_turn(connection, connection.setup["item"])

    async def _answer_turn(self, connection: Connection, item_id: str) -> None:
        exchange = self.next_exchange()
        await self.event(
            connection, "input_audio_buffer.speech_stopped", audio_end_ms=0, item_id=item_id
        )
        await self.event(connection, "input_audio_buffer.committed", item_id=item_id)
        item = {
            "id": item_id,
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        await self.item_added(connection, item)
        await self.transcribed(connection, item_id, exchange.heard)
        if exchange.tool:
            await self._call_tool(connection, exchange)
        else:
            await self.say(connection, exchange.answer)

    async def transcribed(self, connection: Connection, item_id: str, text: str) -> None:
        """The caller's words."""
        await self.event(
            connection,
            "conversation.item.input_audio_transcription.completed",
            item_id=item_id,
            content_index=0,
            transcript=text,
        )

    async def item_added(
        self, connection: Connection, item: JSON, previous: str | None = None
    ) -> None:
        """Tell of a new item of the conversation, after the last one if nothing else is said."""
        after = previous or connection.setup.get("last")
        connection.setup["last"] = item["id"]
        await self.event(
            connection,
            "conversation.item.added",
            previous_item_id=None if after == "root" else after,
            item=item,
        )

    async def _item_create(self, connection: Connection, event: JSON) -> None:
        item = {"id": self.next_id("item"), "status": "completed", **event["item"]}
        await self.item_added(connection, item, event.get("previous_item_id"))

    async def _item_delete(self, connection: Connection, event: JSON) -> None:
        await self.event(connection, "conversation.item.deleted", item_id=event["item_id"])

    async def _response_create(self, connection: Connection, event: JSON) -> None:
        asked: JSON = event.get("response") or {}
        pending, connection.exchange = connection.exchange, None
        words = pending.answer if pending else self.words_for(asked.get("instructions"))
        await self.say(connection, words, asked.get("metadata"))


class _Response:
    """The events around one response."""

    def __init__(
        self, provider: OpenAiRealtime, connection: Connection, metadata: JSON | None
    ) -> None:
        self._provider = provider
        self._connection = connection
        self._metadata = metadata
        self.id = provider.next_id("resp")

    async def __aenter__(self) -> "_Response":
        await self._tell("response.created", status="in_progress")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tell("response.done", status="completed", usage=_USAGE)

    async def item_added(self, item: JSON) -> None:
        await self._item("response.output_item.added", item)
        await self._provider.item_added(self._connection, item)

    async def item_done(self, item: JSON) -> None:
        await self._item("response.output_item.done", item)

    async def _item(self, kind: str, item: JSON) -> None:
        await self._provider.event(
            self._connection, kind, response_id=self.id, output_index=0, item=item
        )

    async def _tell(self, kind: str, **fields: Any) -> None:
        response: JSON = {"id": self.id, "object": "realtime.response", "output": []}
        await self._provider.event(
            self._connection, kind, response={**response, "metadata": self._metadata, **fields}
        )
