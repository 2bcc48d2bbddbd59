"""A customer's webhook receiver on a real port, which behaves as each path says."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook


@dataclass
class Received:
    """One request, as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        """Its `webhook-id`."""
        return self.headers["webhook-id"]

    def verified(self, *secrets: str) -> dict[str, Any]:
        """The event, once its signature was verified with every one of these secrets."""
        events = [Webhook(secret).verify(self.body, dict(self.headers)) for secret in secrets]
        return events[0]


Behaviour = Callable[["Receiver", Received], Awaitable[web.Response]]


@dataclass
class Receiver:
    """Keeps every request, also those that it does not answer well."""

    url: str = ""
    requests: list[Received] = field(default_factory=list[Received])
    seen: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By path: how often each event came."""
    answer_with: int = 200
    """Status of `/switch`."""

    def at(self, path: str) -> list[Received]:
        """The requests to a path, in their order."""
        return [request for request in self.requests if request.path == path]

    async def handle(self, request: web.Request) -> web.Response:
        """Note a request and answer it."""
        came = Received(request.path, request.headers.copy(), await request.read())
        self.requests.append(came)
        self.seen[came.path][came.headers.get("webhook-id", "")] += 1
        name = came.path.strip("/").partition("/")[0]
        return await _BEHAVIOURS.get(name, _ok)(self, came)


async def _ok(receiver: Receiver, came: Received) -> web.Response:
    return web.Response(status=204)


async def _flaky(receiver: Receiver, came: Received) -> web.Response:
    """Fails twice, then works, for each event."""
    return web.Response(status=200 if receiver.seen[came.path][came.event_id] > 2 else 500)


async def _down(receiver: Receiver, came: Received) -> web.Response:
    return web.Response(status=500, text="internal: " + "x" * 100_000)


async def _hang(receiver: Receiver, came: Received) -> web.Response:
    await asyncio.sleep(600)
    return web.Response()


async def _redirect(receiver: Receiver, came: Received) -> web.Response:
    return web.Response(status=302, headers={"location": f"{receiver.url}/redirected"})


async def _gone(receiver: Receiver, came: Received) -> web.Response:
    return web.Response(status=410)


async def _busy(receiver: Receiver, came: Received) -> web.Response:
    """Asks to be left alone once, for each event."""
    if receiver.seen[came.path][came.event_id] == 1:
        return web.Response(status=429, headers={"retry-after": "1"})
    return web.Response()


async def _switch(receiver: Receiver, came: Received) -> web.Response:
    return web.Response(status=receiver.answer_with)


_BEHAVIOURS: dict[str, Behaviour] = {
    "flaky": _flaky,
    "down": _down,
    "hang": _hang,
    "redirect": _redirect,
    "gone": _gone,
    "busy": _busy,
    "switch": _switch,
}


@asynccontextmanager
async def webhook_receiver() -> AsyncGenerator[Receiver]:
    """A running receiver for the block."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
