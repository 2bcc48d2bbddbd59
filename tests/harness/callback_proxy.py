"""Stands on the wire between agents and the API: writes down what was acknowledged, and can cut it.

The agents' callback URL points here, so a turn counts as acknowledged when its agent got the
answer, and a report can be lost on the way as it would be in a broken network.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import ClientError, ClientSession, web

from domain.ids import SessionKey
from domain.sessions.control import HEARTBEAT_PATH
from domain.transcripts.transcript import Turn
from tests.harness.ledger import Ledger

REPORT_PATH = "/session/observability"
READY_PATH = "/v1/agent/ready"
_HOP = {"host", "content-length", "transfer-encoding", "connection"}


@dataclass(frozen=True)
class Acknowledged:
    """A callback that the API answered with success."""

    method: str
    path: str
    body: Any
    answer: Any


@dataclass
class CallbackProxy:
    """Forwards to `target`, which is known only once the stack runs."""

    ledger: Ledger
    port: int
    target: str = ""
    acknowledged: list[Acknowledged] = field(default_factory=list[Acknowledged])
    cut: set[str] = field(default_factory=set[str])
    """Session ids whose agents reach nobody."""
    heartbeats_pass: bool = True
    """Whether agent servers are heard."""
    claims_pass: bool = True
    """Whether agents reach the API with their claims."""
    keys: dict[str, SessionKey] = field(default_factory=dict[str, SessionKey])
    """Sessions by their id alone, as the paths name them."""
    _runner: web.AppRunner | None = None
    _client: ClientSession | None = None

    @property
    def url(self) -> str:
        """Base URL for the agents."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._client = ClientSession()
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._client is not None:
            await self._client.close()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if any(session in request.path or session.encode() in body for session in self.cut):
            return web.Response(status=502)
        if request.path == HEARTBEAT_PATH and not self.heartbeats_pass:
            return web.Response(status=502)
        if request.path == READY_PATH and not self.claims_pass:
            return web.Response(status=502)
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in _HOP
        }
        assert self._client is not None
        try:
            async with self._client.request(
                request.method, self.target + request.path_qs, data=body, headers=headers
            ) as answer:
                content = await answer.read()
                status, kind = answer.status, answer.content_type
        except (TimeoutError, ClientError):
            return web.Response(status=502)
        if status < 300:
            self._note(request, body, content)
        return web.Response(body=content, status=status, content_type=kind)

    def _note(self, request: web.Request, body: bytes, content: bytes) -> None:
        if request.path.startswith("/v1/agent-servers/"):
            return
        sent: Any = json.loads(body) if body else {}
        answer: Any = json.loads(content)
        self.acknowledged.append(Acknowledged(request.method, request.path, sent, answer))
        if request.method == "POST" and request.path.endswith("/turns"):
            self._note_turns(request.path.split("/")[-2], sent["turns"])
        if request.path == REPORT_PATH and answer["stored"]:
            self._note_turns(answer["sessionId"], sent["turns"])

    def _note_turns(self, session_id: str, turns: list[Any]) -> None:
        for turn in turns:
            self.ledger.note_turn(self.keys[session_id], Turn.model_validate(turn))

    def reports(self, session_id: str) -> list[Any]:
        """The acknowledged reports of a session's agents, in order."""
        return [
            call.body
            for call in self.acknowledged
            if call.path == REPORT_PATH and call.answer["sessionId"] == session_id
        ]
