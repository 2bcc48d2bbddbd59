"""A TCP proxy between two parts that can fail in every way that a network and a server can."""

import asyncio
import random
from contextlib import suppress
from typing import Self

from tests.chaos.machine.faults import Mode

CHUNK = 65_536
LONGEST_DELAY = 1.0
_METHODS = (b"GET ", b"POST ", b"PUT ", b"DELETE ", b"PATCH ")
_LISTS = (b"POST /twirp/livekit.RoomService/List", b"POST /twirp/livekit.AgentDispatchService/List")
_PAGE = b"<!doctype html><title>Welcome</title><h1>It works!</h1>"
_RESPONSES = {
    Mode.NOT_FOUND: (b"404 Not Found", b"text/plain", b"404 page not found\n"),
    Mode.TOO_LARGE: (b"413 Content Too Large", b"text/html", _PAGE),
    Mode.BAD_GATEWAY: (b"502 Bad Gateway", b"text/html", _PAGE),
    Mode.HTML: (b"200 OK", b"text/html", _PAGE),
    # An empty message of protobuf is a list without entries.
    Mode.EMPTY_LISTS: (b"200 OK", b"application/protobuf", b""),
}


class Connection:
    """One connection through the proxy."""

    def __init__(self, wire: "WireProxy", client: asyncio.StreamWriter) -> None:
        self._wire = wire
        self._client = client
        self._server: asyncio.StreamWriter | None = None
        self._over = False
        self.lost_data = False
        """Whether responses were withheld, so that the connection is of no use any more."""

    def abort(self) -> None:
        """Close both sides at once."""
        self._over = True
        for side in (self._client, self._server):
            if side is not None:
                side.transport.abort()

    async def serve(self, requests: asyncio.StreamReader) -> None:
        """Pass data on, in both directions, until one side closes."""
        try:
            responses, self._server = await asyncio.open_connection("127.0.0.1", self._wire.target)
        except OSError:
            return self.abort()
        backwards = asyncio.create_task(self._pass_responses(responses))
        try:
            await self._pass_requests(requests)
        finally:
            self.abort()
            await backwards

    async def _pass_requests(self, requests: asyncio.StreamReader) -> None:
        assert self._server is not None
        with suppress(OSError):
            while data := await requests.read(CHUNK):
                mode = self._wire.mode
                if mode in (Mode.FAIL_BEFORE, Mode.REFUSE):
                    return
                if mode is not None and mode in _RESPONSES and _is_meant(mode, data):
                    return await self._respond(mode, data, requests)
                await self._wait(mode)
                self._server.write(data)
                await self._server.drain()

    async def _pass_responses(self, responses: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await responses.read(CHUNK):
                mode = self._wire.mode
                if mode in (Mode.FAIL_AFTER, Mode.REFUSE):
                    break
                if mode is Mode.TIME_OUT:
                    self.lost_data = True
                    continue
                await self._wait(mode)
                self._client.write(data[: len(data) // 2] if mode is Mode.TRUNCATE else data)
                await self._client.drain()
                if mode is Mode.TRUNCATE:
                    # What was written is still sent; what would follow is not.
                    self._client.close()
                    break
            else:
                self._client.close()
                return
        if not self._client.is_closing():
            self.abort()

    async def _wait(self, mode: Mode | None) -> None:
        if mode is Mode.DELAY:
            await asyncio.sleep(random.uniform(0.1, LONGEST_DELAY))

    async def _respond(self, mode: Mode, data: bytes, requests: asyncio.StreamReader) -> None:
        """Read the request to its end, and respond in the server's name."""
        while b"\r\n\r\n" not in data:
            if not (more := await requests.read(CHUNK)):
                return
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        left = _content_length(head) - len(body)
        while left > 0 and (more := await requests.read(CHUNK)):
            left -= len(more)
        status, kind, content = _RESPONSES[mode]
        self._client.write(
            b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (status, kind, len(content), content)
        )
        await self._client.drain()
        self._client.close()
        await self._client.wait_closed()


class WireProxy:
    """Listens for one part's connections to another, and passes them on unless told otherwise."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.target = target
        self.mode: Mode | None = None
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def fail(self, mode: Mode) -> None:
        """Fail in this way from now on."""
        self.mode = mode
        if mode is Mode.REFUSE:
            self._abort(list(self._connections))

    def heal(self) -> None:
        """Pass everything on again."""
        self.mode = None
        self._abort([one for one in self._connections if one.lost_data])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._abort(list(self._connections))
        await asyncio.gather(*self._tasks)

    def _abort(self, connections: list[Connection]) -> None:
        for connection in connections:
            connection.abort()

    async def _accept(self, requests: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        connection = Connection(self, client)
        if self.mode is Mode.REFUSE:
            return connection.abort()
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._connections.add(connection)
        try:
            await connection.serve(requests)
        finally:
            self._connections.discard(connection)
            self._tasks.discard(task)


def _is_meant(mode: Mode, data: bytes) -> bool:
    """Whether a piece of a request begins a request that is to be responded to."""
    return data.startswith(_LISTS if mode is Mode.EMPTY_LISTS else _METHODS)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
