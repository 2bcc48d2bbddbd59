"""What all fake realtime providers have in common."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

from aiohttp import web

from tests.fakes.realtime.sound import Ear

JSON = dict[str, Any]
ANSWER_SECONDS = 0.6
OUTPUT_RATE = 24_000
"""Samples a second that every one of the providers answers with."""
_VERBATIM = "nothing else: "
"""How an agent is told to say given words; the fake does as it is told."""


@dataclass(frozen=True)
class Exchange:
    """One turn of the caller's and what follows from it."""

    heard: str = "I would like to book a table."
    answer: str = "For which day?"
    tool: str | None = None
    """A function to call before the answer."""
    arguments: JSON = field(default_factory=dict[str, Any])


class Refusal(Enum):
    """Why no session comes about; one that there is goes on, except with `SILENCE`."""

    KEY = "the key is wrong"
    MODEL = "there is no such model"
    SILENCE = "the provider accepts the connection and says nothing"
    DOWN = "the provider answers 503"


@dataclass
class Connection:
    """One connection of a client, and all that it sent but the audio."""

    socket: web.WebSocketResponse
    ear: Ear
    query: dict[str, str]
    headers: dict[str, str]
    setup: JSON = field(default_factory=dict[str, Any])
    """The request that the connection follows from, where there is one."""
    received: list[JSON] = field(default_factory=list[JSON])
    exchange: Exchange | None = None
    """The exchange that waits for a tool's result."""

    def of(self, kind: str) -> list[JSON]:
        """The messages of one type, in order."""
        return [each for each in self.received if each.get("type") == kind]

    async def send(self, message: JSON) -> None:
        """Send a message; one to a client that has just gone is lost."""
        if not self.socket.closed:
            await self.socket.send_json(message)


class FakeProvider:
    """Listens on a loopback port of its own while it is entered."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.script: list[Exchange] = []
        """Exchanges to come; when it is empty, the default one."""
        self.refusal: Refusal | None = None
        self.answer_seconds = ANSWER_SECONDS
        """How long each answer is; all of its sound is sent at once."""
        self.tried = 0
        """How often somebody has begun to connect."""
        self.port = 0
        self._number = 0
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        """Base URL, as the provider's setting has it."""
        raise NotImplementedError

    @property
    def latest(self) -> Connection:
        """The connection that was made last."""
        return self.connections[-1]

    def reset(self) -> None:
        """Forget what was received and what was to come."""
        self.connections.clear()
        self.script.clear()
        self.refusal = None

    async def wait_for(self, condition: Callable[[], bool], within: float = 60.0) -> None:
        """Wait until a condition about what was received holds."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(condition)

    async def hang_up(self) -> None:
        """Close the connections as a provider does that fails."""
        # Not those that clients make meanwhile.
        for connection in list(self.connections):
            await connection.socket.close(code=1011)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=16 * 1024 * 1024, middlewares=[self._count])
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls()).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()
        if self._runner is not None:
            await self._runner.cleanup()

    def tls(self) -> ssl.SSLContext | None:
        """The provider's certificate, where its client insists on one."""
        return None

    def routes(self) -> list[web.RouteDef]:
        """Where the provider is spoken to."""
        raise NotImplementedError

    def next_exchange(self) -> Exchange:
        """What the script has for the next turn."""
        return self.script.pop(0) if self.script else Exchange()

    def words_for(self, instructions: str | None) -> str:
        """What is said without having heard anything."""
        if instructions and _VERBATIM in instructions:
            return instructions.partition(_VERBATIM)[2].strip()
        return self.next_exchange().answer

    def next_id(self, kind: str) -> str:
        """An id that was not given before."""
        self._number += 1
        return f"{kind}_{self._number}"

    async def connect(self, request: web.Request, input_rate: int) -> Connection:
        """Accept a socket and note it."""
        socket = web.WebSocketResponse(max_msg_size=16 * 1024 * 1024)
        await socket.prepare(request)
        connection = Connection(socket, Ear(input_rate), dict(request.query), dict(request.headers))
        async with self._changed:
            self.connections.append(connection)
            self._changed.notify_all()
        return connection

    @web.middleware
    async def _count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.tried += 1
        await self.noticed()
        return await handler(request)

    async def note(self, connection: Connection, message: JSON) -> None:
        """Keep a message."""
        async with self._changed:
            connection.received.append(message)
            self._changed.notify_all()

    async def noticed(self) -> None:
        """Wake those who wait: something else than a message has changed."""
        async with self._changed:
            self._changed.notify_all()
