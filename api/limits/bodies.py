"""Read request bodies within limits: in bounded time and memory, after credentials were checked.

A parsed body takes many times its size, and a slow one is kept until its last byte. So a body has a
time limit and a largest number of values, and all large bodies of the process, and of each org,
share a budget.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

from fastapi import Request
from typing_extensions import override

from api.problems import MAX_BODY_BYTES
from domain.errors import RequestTimeout, TooManyRequests, TooManyValues

READ_SECONDS = 30.0
"""How long a client may take to send its body."""
SMALL_BODY_BYTES = 128 * 1024
"""A body up to this size needs no budget."""
BUDGET_BYTES = 64 * 1024 * 1024
"""Large bodies that the process reads or handles at the same time."""
ORG_BUDGET_BYTES = BUDGET_BYTES // 4
"""The share of one org, or of one route that needs none."""
MAX_VALUES = 400_000
"""Values in one JSON body, each of which takes about 100 bytes."""
MAX_NAMES = 5_000
"""Names in one JSON object: each that a model does not have is an error, of about 1 KB."""
MAX_ITEMS = 20_000
"""Items of one JSON array, each of which may have several errors."""
RETRY_SECONDS = 2


class JsonRequest(Request):
    """A request whose JSON has no object or array that could cause very many errors.

    Its `json` raises `TooManyValues` otherwise.
    """

    @override
    async def json(self) -> Any:
        """The body's value."""
        if too_broad := _too_broad(await super().json()):
            # An error keeps what its frames refer to, and so would keep the value.
            del self._json
            raise TooManyValues(too_broad, field="body", cure="send it in parts")
        return await super().json()


class Bodies:
    """The large bodies that one process reads and handles now."""

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
        # LiveKit, agent servers and agents without a token belong to no org.
        sender = str(getattr(request.state, "org", request.url.path))
        size = _declared_size(request)
        if size <= SMALL_BODY_BYTES:
            await _read(request)
            yield
            return
        if self._is_too_much(sender, size):
            raise TooManyRequests(
                "too many large bodies are being handled",
                cure="send them one after the other",
                retry_after=RETRY_SECONDS,
            )
        with self._taken(sender, size):
            size = await _read(request)
            if size > SMALL_BODY_BYTES:
                yield
                return
        # Its size was not declared, and it is small.
        yield

    def _is_too_much(self, sender: str, size: int) -> bool:
        whole, own = self._bytes.total() + size, self._bytes[sender] + size
        return whole > BUDGET_BYTES or own > ORG_BUDGET_BYTES

    @contextmanager
    def _taken(self, sender: str, size: int) -> Generator[None]:
        self._bytes[sender] += size
        try:
            yield
        finally:
            self._bytes[sender] -= size
            if not self._bytes[sender]:
                del self._bytes[sender]


def _declared_size(request: Request) -> int:
    """The body's size in bytes; the largest possible one if it is not declared."""
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdecimal():
        return int(declared)
    return MAX_BODY_BYTES if "transfer-encoding" in request.headers else 0


async def _read(request: Request) -> int:
    """Read the body, which the request keeps; returns its size in bytes."""
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
    return len(body)


def _too_broad(body: object) -> str | None:
    """The first object or array with too many members, the outer ones first."""
    following = [body]
    while following:
        value = following.pop()
        if isinstance(value, dict):
            members = list(cast(dict[str, object], value).values())
            if len(members) > MAX_NAMES:
                return f"a JSON object of the body has more than {MAX_NAMES} names"
            following.extend(members)
        elif isinstance(value, list):
            members = cast(list[object], value)
            if len(members) > MAX_ITEMS:
                return f"a JSON array of the body has more than {MAX_ITEMS} items"
            following.extend(members)
    return None
