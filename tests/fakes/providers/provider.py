"""What all fake providers of a pipeline's models have in common."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import WSMsgType, web

from tests.fakes.realtime.sound import Ear, Heard

JSON = dict[str, Any]
ANSWER_SECONDS = 0.7
"""Length of everything that is spoken."""


@dataclass(frozen=True)
class Seen:
    """One request, or one message on a WebSocket."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any = None


@dataclass
class Script:
    """What the caller is heard to say, and what is answered."""

    heard: str = "I would like to book a table."
    answer: str = "For which day?"
    early: bool = False
    """Transcripts are final as soon as the caller begins to speak."""
    tool: str | None = None
    """A function that the chat model calls once before it answers."""


@dataclass
class Mishap:
    """What a provider answers instead of doing its work."""

    status: int
    body: JSON = field(default_factory=dict[str, Any])
    only: str = ""
    """Part of the path that it happens at; everywhere if it is empty."""


class FakeProvider:
    """Listens on a loopback port of its own while it is entered."""

    key = "sk-right"

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.seen: list[Seen] = []
        self.spoken: list[str] = []
        """Texts to speak, as they arrived."""
        self.loudness: list[float] = []
        """Level of each piece of audio that was received, 0 to 1."""
        self.mishap: Mishap | None = None
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        """Base URL without a path."""
        return f"http://127.0.0.1:{self.port}"

    def routes(self) -> list[web.RouteDef]:
        """Where the provider is spoken to."""
        raise NotImplementedError

    def key_of(self, request: web.Request) -> str:
        """The key that a request came with."""
        raise NotImplementedError

    def at(self, path: str) -> list[Seen]:
        """What was seen at paths that contain this."""
        return [each for each in self.seen if path in each.path]

    def said(self) -> str:
        """All that was to be spoken."""
        return " ".join(" ".join(self.spoken).split())

    async def wait_for(self, condition: Callable[[], bool], within: float = 60.0) -> None:
        """Wait until a condition about what was seen holds."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(condition)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=16 * 1024 * 1024, middlewares=[self._guard])
        app.add_routes(self.routes())
        app.on_response_prepare.append(_one_answer_a_connection)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for socket in list(self._sockets):
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def note(self, request: web.Request, body: Any = None) -> None:
        """Keep what was received."""
        async with self._changed:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.seen.append(Seen(request.path, dict(request.query), headers, body))
            self._changed.notify_all()

    async def note_spoken(self, text: str) -> None:
        """Keep a text that is to be spoken."""
        async with self._changed:
            self.spoken.append(text)
            self._changed.notify_all()

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """Accept a WebSocket, and note it."""
        socket = web.WebSocketResponse(max_msg_size=16 * 1024 * 1024)
        await socket.prepare(request)
        self._sockets.add(socket)
        await self.note(request)
        return socket

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        mishap = self.mishap
        if mishap is not None and mishap.only in request.path:
            await self.note(request)
            return web.json_response(mishap.body, status=mishap.status)
        if self.key_of(request) != self.key:
            return web.json_response({"error": {"message": "wrong key"}}, status=401)
        return await handler(request)


async def _one_answer_a_connection(_: web.Request, answer: web.StreamResponse) -> None:
    # Some plugins never close their clients, whose idle connections would outlive a test.
    if not isinstance(answer, web.WebSocketResponse):
        answer.headers["Connection"] = "close"
        answer.force_close()


class Listener:
    """Takes the audio of one connection, and says when something was heard."""

    def __init__(self, rate: int, script: Script) -> None:
        self._ear = Ear(rate)
        self._script = script

    def hear(self, pcm: bytes) -> str | None:
        """The final transcript, at the moment at which it is due."""
        change = self._ear.hear(pcm)
        due = Heard.STARTED if self._script.early else Heard.STOPPED
        return self._script.heard if change is due else None


def bearer(request: web.Request) -> str:
    """The token of an `Authorization` header, whatever its scheme."""
    return request.headers.get("Authorization", "").rpartition(" ")[2]


CLOSED = (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR)
