"""No connection is kept for a client that sends nothing, too slowly, or does not read."""

import asyncio
import resource
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.limits import connections
from api.limits.connections import LimitedConnection, most_connections
from tests.contract.serving import serving
from tests.waiting import eventually

PATIENCE = 60
LARGE = 32 * 1024 * 1024
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
GET = HEAD + b"\r\n"


@dataclass
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def response(self) -> bytes:
        """The head of the next response."""
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)

    async def is_closed(self) -> bool:
        """Whether the server closes the connection within the test's patience."""
        try:
            while await asyncio.wait_for(self.reader.read(65536), PATIENCE):
                pass
        except ConnectionError:
            return True
        return True


class Watched(LimitedConnection):
    """Tells how many connections were closed."""

    lost = 0
    newest: "Watched"

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        Watched.newest = self

    def connection_lost(self, exc: Exception | None) -> None:
        Watched.lost += 1
        super().connection_lost(exc)


@dataclass
class Server:
    """The server, whose one route answers when it is told to."""

    port: int
    answer: asyncio.Event
    handling: int = 0

    async def serve_one(self, client: Client, request: bytes, then: Callable[[], None]) -> None:
        """Send a request that is answered after `then`."""
        self.answer.clear()
        await client.send(request)
        await eventually(lambda: self.handling == 1, PATIENCE)
        then()
        self.answer.set()

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Server]:
    # Longer than any test, unless it says otherwise.
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 600)
    it = Server(0, asyncio.Event())
    it.answer.set()

    async def handle(request: Request) -> Response:
        it.handling += 1
        await it.answer.wait()
        it.handling -= 1
        return Response(b"x" * (LARGE if request.url.path == "/large" else 1))

    app = Starlette(routes=[Route("/{any:path}", handle, methods=["GET", "POST"])])
    async with serving(app, http=Watched, ws="none", timeout_keep_alive=300) as url:
        it.port = int(url.rpartition(":")[2])
        yield it
        it.answer.set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the server wait less from now on."""

    def change() -> None:
        monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.2)
        monkeypatch.setattr(connections, "STALL_SECONDS", 0.2)

    return change


async def is_closed_although_it_drips(client: Client, start: bytes, drop: bytes) -> bool:
    """Whether the server closes a connection that goes on sending a little."""

    async def drip() -> None:
        await client.send(start)
        while True:
            await client.send(drop)
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    closed = await client.is_closed()
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(dripping, PATIENCE)
    return closed


async def test_a_client_that_sends_nothing_is_not_kept(
    server: Server, impatient: Callable[[], None]
) -> None:
    impatient()
    async with server.client() as client:
        assert await client.is_closed()


async def test_headers_that_come_one_by_one_are_not_waited_for(
    server: Server, impatient: Callable[[], None]
) -> None:
    impatient()
    async with server.client() as client:
        assert await is_closed_although_it_drips(client, HEAD, b"x: y\r\n")


async def test_headers_of_a_second_request_are_not_waited_for_either(
    server: Server, impatient: Callable[[], None]
) -> None:
    async with server.client() as client:
        await server.serve_one(client, GET, impatient)
        assert b" 200 " in await client.response()
        assert await is_closed_although_it_drips(client, HEAD, b"x: y\r\n")


async def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for(
    server: Server, impatient: Callable[[], None]
) -> None:
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    async with server.client() as client:
        await server.serve_one(client, post, impatient)
        assert b" 200 " in await client.response()
        assert await is_closed_although_it_drips(client, b"x", b"x")


async def test_a_client_that_does_not_read_is_not_kept(
    server: Server, impatient: Callable[[], None]
) -> None:
    before = Watched.lost
    async with server.client() as client:
        transport: Any = client.writer.transport
        transport.pause_reading()
        # Much more than the system's buffers hold.
        await server.serve_one(client, GET.replace(b"/ ", b"/large ", 1), impatient)
        await eventually(lambda: Watched.lost > before, PATIENCE)
        transport.resume_reading()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(client.reader.readexactly(LARGE), PATIENCE)


async def test_a_request_that_is_being_handled_is_not_interrupted(
    server: Server, impatient: Callable[[], None]
) -> None:
    server.answer.clear()
    async with server.client() as client:
        await client.send(GET)
        await eventually(lambda: server.handling == 1, PATIENCE)
        assert Watched.newest.deadline is None
        impatient()
        async with server.client() as idle:
            assert await idle.is_closed()
        server.answer.set()
        assert b" 200 " in await client.response()


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("chunk", "count", "accepted"),
    [
        (b"1\r\nx\r\n", 50, True),
        (b"1\r\nx\r\n", 5_000, False),
        (b"1;extension\r\n" + b"x" * 30 + b"\r\n", 1_000, True),
        (b"400\r\n" + b"x" * 1024 + b"\r\n", 1_000, True),
    ],
)
async def test_bodies_in_tiny_chunks_are_refused(
    server: Server, chunk: bytes, count: int, accepted: bool
) -> None:
    async with server.client() as client:
        server.answer.clear()
        data = CHUNKED + chunk * count + b"0\r\n\r\n"
        if not accepted:
            with suppress(ConnectionError):
                await client.send(data)
            assert await client.is_closed()
            return
        await client.send(CHUNKED)
        await eventually(lambda: server.handling == 1, PATIENCE)
        sending = asyncio.create_task(client.send(chunk * count + b"0\r\n\r\n"))
        server.answer.set()
        assert b" 200 " in await client.response()
        sending.cancel()


async def test_chunks_are_not_read_for_long_after_the_response(server: Server) -> None:
    async with server.client() as client:
        await client.send(CHUNKED)
        assert b" 200 " in await client.response()
        assert await is_closed_although_it_drips(client, b"", b"1000\r\n" + b"x" * 4096 + b"\r\n")


async def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    async with server.client() as client:
        await client.send(GET * 500)
        for _ in range(500):
            assert b" 200 " in await client.response()
            assert await client.reader.readexactly(1) == b"x"


async def test_when_there_are_too_many_the_longest_waiting_one_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LimitedConnection, "most", 3)
    async with server.client() as oldest, server.client() as used, server.client() as idle:
        await used.send(GET)
        await used.response()
        async with server.client() as newest:
            assert await oldest.is_closed()
            for client in (newest, idle):
                await client.send(GET)
                assert b" 200 " in await client.response()


async def test_connections_in_use_are_not_closed_for_new_ones(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LimitedConnection, "most", 1)
    server.answer.clear()
    async with server.client() as used:
        await used.send(GET)
        await eventually(lambda: server.handling == 1, PATIENCE)
        async with server.client() as newest:
            assert await newest.is_closed()
        server.answer.set()
        assert b" 200 " in await used.response()


async def test_websockets_are_not_served(server: Server) -> None:
    async with server.client() as client:
        await client.send(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        assert b" 200 " in await client.response()


def test_the_number_of_connections_fits_the_limit_of_open_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[tuple[int, int]] = []

    def change(_: int, pair: tuple[int, int]) -> None:
        limits.append(pair)

    def most(soft: int, hard: int) -> int:
        def read(_: int) -> tuple[int, int]:
            return soft, hard

        monkeypatch.setattr(resource, "getrlimit", read)
        return most_connections()

    monkeypatch.setattr(resource, "setrlimit", change)

    assert most(1024, 1_048_576) == 2_000
    assert limits.pop() == (2_384, 1_048_576)
    assert most(1024, resource.RLIM_INFINITY) == 2_000
    assert limits.pop() == (2_384, resource.RLIM_INFINITY)
    assert most(1024, 1024) == 640
    assert limits.pop() == (1024, 1024)
    assert most(20_000, 20_000) == 2_000
    assert most(resource.RLIM_INFINITY, resource.RLIM_INFINITY) == 2_000
    assert limits == []
