"""Read request bodies within limits: in bounded time and memory, after credentials were checked.

A parsed body takes many times its size, and a slow one is kept until its last byte. So a body has a
time limit and a largest number of values, and all large bodies of the process, and of each org,
share a budget.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import Request

from api.problems import MAX_BODY_BYTES
from domain.errors import RequestTimeout, TooManyRequests, TooManyValues

READ_SECONDS = 30.0
"""How long a client may take to send its body."""
SMALL_BODY_BYTES = 128 * 1024
"""A body up to this size needs no budget."""
BUDGET_BYTES = 64 * 1024 * 1024
"""Large bodies that the process reads or handles at the same time."""
ORG_BUDGET_BYTES = BUDGET_BYTES // 4
"""The share of one org, or of all clients without one."""
MAX_VALUES = 400_000
"""Values in one JSON body, each of which takes about 100 bytes."""
RETRY_SECONDS = 2


class Bodies:
    """The bodies that one process reads and handles now."""

    def __init__(self) -> None:
        self._bytes: Counter[str] = Counter()

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncGenerator[None]:
        """Read the body, which counts until the end of the block.

        Raises:
            RequestTimeout: the client is too slow.
            TooManyValues: its JSON has too many values.
            TooManyRequests: too many large bodies are handled now.
        """
        org = str(getattr(request.state, "org", ""))
        size = _declared_size(request)
        if size <= SMALL_BODY_BYTES:
            await _read(request)
            yield
            return
        if self._bytes.total() + size > BUDGET_BYTES or self._bytes[org] + size > ORG_BUDGET_BYTES:
            raise TooManyRequests(
                "too many large bodies are being handled",
                cure="send them one after the other",
                retry_after=RETRY_SECONDS,
            )
        self._bytes[org] += size
        try:
            await _read(request)
            yield
        finally:
            self._bytes[org] -= size
            if not self._bytes[org]:
                del self._bytes[org]


def _declared_size(request: Request) -> int:
    """The body's size in bytes; the largest possible one if it is not declared."""
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdecimal():
        return int(declared)
    return MAX_BODY_BYTES if "transfer-encoding" in request.headers else 0


async def _read(request: Request) -> None:
    try:
        async with asyncio.timeout(READ_SECONDS):
            body = await request.body()
    except TimeoutError:
        raise RequestTimeout(
            f"the body did not come within {READ_SECONDS:g} s", cure="send it faster, or in parts"
        ) from None
    # Commas and brackets are more than the values, but never fewer.
    values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if values > MAX_VALUES:
        raise TooManyValues(
            f"the body may have more than {MAX_VALUES} values", cure="send it in parts"
        )
