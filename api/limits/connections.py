"""Connections of clients within limits: how many there are, and how long each may keep still.

uvicorn itself waits for ever for a request's headers, for the rest of a body that nobody reads any
more, and for a client that does not read its response.
"""

import asyncio
import resource
import time
from typing import Any

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 15.0
"""How long a client may take from its connection, or from the last response, to the end of the next
request's headers. An idle connection is closed earlier, by uvicorn."""
STALL_SECONDS = 60.0
"""How long a client may leave a full response buffer unread."""
MOST_CONNECTIONS = 2_000
READ_BYTES = 64 * 1024
"""Received at once, and so kept for a request that has to wait."""
TINY_LINE_BYTES = 8
"""A body in chunks has fewer lines than one in so many bytes: a chunk has two, so these are chunks
of up to 10 bytes."""
MOST_TINY_LINES = 200
"""So few lines may be of any length."""
BACKLOG = 128
"""Connections that the system keeps until they are accepted, which may be all at once."""
_OTHER_FILES = 256
"""Open files that are left for other purposes than clients."""


def most_connections() -> int:
    """How many clients may be connected, as far as the limit of open files allows it.

    Raises that limit, where it is lower than needed.
    """
    needed = MOST_CONNECTIONS + BACKLOG + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(min(MOST_CONNECTIONS, soft - BACKLOG - _OTHER_FILES), 1)


class LimitedConnection(H11Protocol):
    """One client's connection.

    When there are too many, the one that has waited longest for a request is closed.
    """

    most = MOST_CONNECTIONS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.deadline: asyncio.TimerHandle | None = None
        """Closes the connection unless a request comes before."""
        self._stalled: asyncio.TimerHandle | None = None
        self.waiting_since = time.monotonic()
        self._unread = 0
        """Bytes of chunks that came after the response."""

    @property
    def is_serving(self) -> bool:
        """Whether a request is being handled."""
        # The base class types this attribute as if there were always a request.
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # as the base class
        super().connection_made(transport)
        # Of asyncio's own transports; another one receives as much at once as it likes.
        transport.max_size = READ_BYTES  # pyright: ignore[reportAttributeAccessIssue]
        self._wait_for_request()
        if len(self.connections) > self.most:
            self._make_room()

    @override
    def data_received(self, data: bytes) -> None:
        if self._is_in_chunks(data):
            self._unread += len(data) if not self.is_serving else 0
            # Each chunk costs much more time than its bytes.
            tiny = data.count(b"\r\n") > max(MOST_TINY_LINES, len(data) // TINY_LINE_BYTES)
            if tiny or self._unread > READ_BYTES:
                self.transport.close()
                return
        super().data_received(data)
        if self.is_serving:
            self._stop_waiting()

    @override
    def on_response_complete(self) -> None:
        # A body that was not read is not needed any more.
        self.cycle.body = bytearray()
        super().on_response_complete()
        if not self.is_serving:
            self._wait_for_request()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._end_stall()
        super().connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._end_stall()
        self._stalled = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()

    def _is_in_chunks(self, data: bytes) -> bool:
        """Whether the body that is being received, or begins in `data`, comes in chunks."""
        if self.conn.their_state is h11.SEND_BODY:
            return any(name == b"transfer-encoding" for name, _ in self.headers)
        return b"transfer-encoding" in data.partition(b"\r\n\r\n")[0].lower()

    def _wait_for_request(self) -> None:
        self._stop_waiting()
        self._unread = 0
        self.waiting_since = time.monotonic()
        self.deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self.deadline:
            self.deadline.cancel()
            self.deadline = None

    def _end_stall(self) -> None:
        if self._stalled:
            self._stalled.cancel()
            self._stalled = None

    def _make_room(self) -> None:
        """Close the connection that has waited longest, or this one if all others are in use."""
        others = (one for one in self.connections if isinstance(one, LimitedConnection))
        idle = (one for one in others if not one.is_serving and not one.transport.is_closing())
        longest = min(idle, key=lambda one: one.waiting_since, default=self)
        longest.transport.abort()
