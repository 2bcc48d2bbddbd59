"""A web service of a customer's: keeps every request, and answers as it is told."""

import asyncio
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    """As it was sent: with its percent-encoding."""
    query: dict[str, str]
    headers: dict[str, str]
    text: str


@dataclass
class WebService:
    """Listens on a loopback port of its own while it is entered."""

    answer: str = "It is on its way."
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    answers_by_path: dict[str, str] = field(default_factory=dict[str, str])
    silent: bool = False
    """Takes requests and never answers."""
    asked: list[Asked] = field(default_factory=list[Asked])
    port: int = 0
    _runner: web.AppRunner | None = None
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.asked.append(
            Asked(
                method=request.method,
                path=request.rel_url.raw_path,
                query=dict(request.query),
                headers={name.lower(): value for name, value in request.headers.items()},
                text=await request.text(),
            )
        )
        if self.silent:
            await self._closing.wait()
        text = self.answers_by_path.get(request.path, self.answer)
        # Its bytes are UTF-8, whatever its headers say.
        headers = {"Content-Type": "text/plain; charset=utf-8", **self.headers}
        return web.Response(body=text.encode(), status=self.status, headers=headers)
