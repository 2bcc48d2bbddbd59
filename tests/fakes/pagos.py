"""The Pagos authentication API over the wire, with outages and odd answers on request."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from adapters.settings import PagosSettings
from tests.servers import free_port

ADMIN_TOKEN = "pagos-admin-token-for-tests"


@dataclass(frozen=True)
class Asked:
    """One question that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakePagos:
    """Listens on a loopback port while it is entered; knows the accounts that it was given.

    Attributes:
        accounts: what is answered for a key.
        asked: the questions, in order.
        outage: status of every answer while it is set.
        odd_answer: body of every answer while it is set.
        headers: further headers of every answer.
        held: answers wait while it is not set.
    """

    accounts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    asked: list[Asked] = field(default_factory=list[Asked])
    outage: int | None = None
    odd_answer: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    held: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = field(default_factory=free_port)
    """None that an outgoing connection takes while it is stopped."""
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        server = self._runner and self._runner.server
        return len(server.connections) if server else 0

    def settings(self, **further: Any) -> PagosSettings:
        """Settings that lead here."""
        given = {"pagos_api_url": self.url, "pagos_admin_token": ADMIN_TOKEN} | further
        return PagosSettings.model_validate(given)

    async def __aenter__(self) -> Self:
        self.held.set()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.held.set()
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        app.add_routes([web.route("*", "/{path:.*}", self._answer)])
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening, and close what is open."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.method, request.path, headers, body))
        await self.held.wait()
        if self.outage:
            return web.Response(status=self.outage, headers=self.headers)
        if self.odd_answer is not None:
            return web.Response(body=self.odd_answer, headers=self.headers)
        key = body["key"] if body else headers.get("x-api-key", "")
        account = self.accounts.get(key)
        if account is None:
            return web.Response(status=404, headers=self.headers)
        return web.json_response(account, headers=self.headers)
