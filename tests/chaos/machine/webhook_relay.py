"""Stands between LiveKit and the API: can duplicate, reorder and withhold LiveKit's webhooks."""

import asyncio
import random
from contextlib import suppress
from typing import Self

from aiohttp import ClientError, ClientSession, web

from tests.chaos.machine.faults import Delivery

LONGEST_HOLD = 4.0
"""Seconds that a webhook is held back at most, so that later ones overtake it."""
_PASSED_ON = ("Authorization", "Content-Type")


class WebhookRelay:
    """Passes webhooks on to the API, unless told otherwise."""

    def __init__(self, port: int, target: str) -> None:
        self.port = port
        self.delivery: Delivery | None = None
        self._target = target
        self._held: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._client: ClientSession | None = None

    @property
    def url(self) -> str:
        """Where LiveKit sends its webhooks."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._receive)
        self._client = ClientSession()
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        assert self._client is not None
        await self._runner.cleanup()
        for task in self._held:
            task.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)
        await self._client.close()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        match self.delivery:
            case Delivery.WITHHOLD:
                return web.Response()
            case Delivery.REORDER:
                self._later(request.path, body, headers)
                return web.Response()
            case Delivery.DUPLICATE:
                self._later(request.path, body, headers)
            case None:
                pass
        try:
            return web.Response(status=await self._send(request.path, body, headers))
        except (TimeoutError, ClientError):
            return web.Response(status=502)

    def _later(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        task = asyncio.create_task(self._send_late(path, body, headers))
        self._held.add(task)
        task.add_done_callback(self._held.discard)

    async def _send_late(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        await asyncio.sleep(random.uniform(0, LONGEST_HOLD))
        with suppress(TimeoutError, ClientError):  # lost, as webhooks are
            await self._send(path, body, headers)

    async def _send(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        assert self._client is not None
        async with self._client.post(self._target + path, data=body, headers=headers) as answer:
            return answer.status
