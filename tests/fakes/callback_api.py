"""The callback API as an agent sees it over the wire, with outages and refusals on request."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from domain.transcripts.transcript import Turn

JSON = dict[str, Any]
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class ProxyAnswer:
    """What a proxy in front of the API answers in its place."""

    status: int
    body: str = "<html><body><h1>Sorry</h1></body></html>"
    content_type: str = "text/html"


@dataclass(frozen=True)
class Received:
    """One request, whatever was answered."""

    route: str
    """`ready`, `failed`, `turns`, `turns_so_far`, `managed_agent`, `time_left`, `report` or
    `heartbeat`."""
    body: Any
    raw: str
    authorization: str
    status: int


@dataclass
class CallbackApi:
    """Listens on a loopback port of its own while it is entered."""

    token: str = "evcb_test"
    port: int = 0
    received: list[Received] = field(default_factory=list[Received])
    turns: dict[tuple[int, str], JSON] = field(default_factory=dict[tuple[int, str], JSON])
    """Accepted turns by (attempt, item id), in the order of their arrival."""
    reports: list[JSON] = field(default_factory=list[JSON])
    earlier_turns: list[Turn] = field(default_factory=list[Turn])
    ready_answer: JSON = field(default_factory=lambda: {"accepted": True, "remaining": 600})
    ready_status: int = 200
    managed_agents: dict[str, JSON] = field(default_factory=dict[str, JSON])
    """Configurations of saved agents by their ids."""
    time_left: float | None = 600
    stop: list[str] = field(default_factory=list[str])
    """Jobs that heartbeats are told to stop."""
    outage: int | None = None
    """Status of every answer while it is set."""
    unavailable: set[str] = field(default_factory=set[str])
    """Routes that are answered 503."""
    restored_after: int | None = None
    """Requests after which an outage ends by itself."""
    garbled: bool = False
    """Whether answers are announced as compressed and are not, as behind a broken proxy."""
    proxy: ProxyAnswer | None = None
    """Answers every request while it is set."""
    proxy_limit: int | None = None
    """Of a body's bytes, by a proxy."""
    over_limit: ProxyAnswer | None = ProxyAnswer(413)
    """What it answers to larger ones; None if it closes the connection."""
    proxied: list[ProxyAnswer] = field(default_factory=list[ProxyAnswer])
    """The answers of proxies. The API has not received these requests."""
    refuse_turn: Callable[[JSON], bool] = lambda turn: False
    """Batches with such a turn are answered 422."""
    _runner: web.AppRunner | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        """Base URL of the callbacks."""
        return f"http://127.0.0.1:{self.port}"

    def of(self, route: str) -> list[Received]:
        """The requests of one route, in order."""
        return [request for request in self.received if request.route == route]

    async def wait_for(self, condition: Callable[[], bool], within: float = 60.0) -> None:
        """Wait until a condition about what was received holds."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(condition)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=16 * 1024 * 1024, middlewares=[self._proxied])
        app.add_routes(
            [
                web.post("/v1/agent/ready", self._ready),
                web.post("/v1/agent/failed", self._failed),
                web.post("/v1/sessions/{session}/turns", self._turns),
                web.get("/v1/sessions/{session}/turns", self._turns_so_far),
                web.get("/v1/agent/managed-agents/{agent}", self._managed_agent),
                web.get("/v1/agent/time-left", self._time_left),
                web.post("/session/observability", self._report),
                web.post("/v1/agent/recording", self._recording),
                web.post("/v1/agent-servers/heartbeat", self._heartbeat),
            ]
        )
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _proxied(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        answer, limit = self.proxy, self.proxy_limit
        if limit is not None and len(await request.read()) > limit:
            answer = self.over_limit
            if answer is None:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
        if answer is None:
            return await handler(request)
        async with self._changed:
            self.proxied.append(answer)
            self._changed.notify_all()
        return web.Response(
            status=answer.status, text=answer.body, content_type=answer.content_type
        )

    async def _ready(self, request: web.Request) -> web.Response:
        return await self._answer(request, "ready", self.ready_status, self.ready_answer)

    async def _failed(self, request: web.Request) -> web.Response:
        return await self._answer(request, "failed", 200, {"accepted": True})

    async def _turns_so_far(self, request: web.Request) -> web.Response:
        turns = [turn.model_dump(mode="json") for turn in self.earlier_turns]
        return await self._answer(request, "turns_so_far", 200, {"turns": turns})

    async def _managed_agent(self, request: web.Request) -> web.Response:
        config = self.managed_agents.get(request.match_info["agent"])
        if config is None:
            return await self._answer(request, "managed_agent", 404, {"detail": "no such agent"})
        answer = {"session_id": "s", **config}
        return await self._answer(request, "managed_agent", 200, answer)

    async def _time_left(self, request: web.Request) -> web.Response:
        return await self._answer(request, "time_left", 200, {"remaining": self.time_left})

    async def _turns(self, request: web.Request) -> web.Response:
        body: JSON = json.loads(await request.text())
        if any(self.refuse_turn(turn) for turn in body["turns"]):
            return await self._answer(request, "turns", 422, {"detail": "a turn is malformed"})
        if self.outage is None and "turns" not in self.unavailable:
            for turn in body["turns"]:
                self.turns.setdefault((turn["attempt"], turn["item_id"]), turn)
        answer = {"stored": len(body["turns"]), "duplicates": 0}
        return await self._answer(request, "turns", 200, answer)

    async def _report(self, request: web.Request) -> web.Response:
        if self.outage is None and self._authorized(request):
            self.reports.append(json.loads(await request.text()))
        return await self._answer(request, "report", 200, {"sessionId": "s1", "stored": True})

    async def _recording(self, request: web.Request) -> web.Response:
        return await self._answer(request, "recording", 200, {"stored": True})

    async def _heartbeat(self, request: web.Request) -> web.Response:
        answer = {"accepted": True, "stop": self.stop}
        return await self._answer(request, "heartbeat", 200, answer, signed=True)

    def _authorized(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.token}"

    async def _answer(
        self, request: web.Request, route: str, status: int, answer: JSON, *, signed: bool = False
    ) -> web.Response:
        if self.outage is not None:
            status, answer = self.outage, {"detail": "out of order"}
        elif route in self.unavailable:
            status, answer = 503, {"detail": "out of order"}
        elif not signed and not self._authorized(request):
            status, answer = 401, {"detail": "the callback token is not valid"}
        raw = await request.text()
        async with self._changed:
            self.received.append(
                Received(
                    route=route,
                    body=json.loads(raw) if raw else None,
                    raw=raw,
                    authorization=request.headers.get("Authorization", ""),
                    status=status,
                )
            )
            if self.outage is not None and len(self.received) == self.restored_after:
                self.outage = None
            self._changed.notify_all()
        if self.garbled:
            encoded = {"Content-Encoding": "gzip"}
            return web.Response(body=b"not compressed", status=status, headers=encoded)
        if status >= 400:
            form = {"type": "about:blank", "title": "Problem", "status": status, "code": "problem"}
            return web.json_response({**form, **answer}, status=status, content_type=PROBLEM)
        return web.json_response(answer, status=status)
