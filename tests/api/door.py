"""The API in this process, with real Temporal behind it and fakes for LiveKit and MongoDB."""

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
from fastapi import FastAPI

from adapters.livekit.signatures import HEARTBEAT, WEBHOOK, sign_body
from adapters.memory_agent_servers import MemoryAgentServers
from adapters.temporal.sessions import TemporalSessions
from api.dependencies import ApiDependencies, Archive, CallerTokens
from domain.access.principal import Principal
from domain.ids import SessionKey
from domain.sessions import callback_token
from domain.sessions.callback_token import CallbackClaims
from services.transcripts.transcripts import Transcripts
from tests.api.shared_app import app_with
from tests.fakes.agents import Plays
from tests.fakes.installation import FixedInstallation
from tests.workflows.calls import AGENT_NAME, Call, Studio
from tests.workflows.studio import CALLBACK_SECRET

LIVEKIT_KEY, LIVEKIT_SECRET = "APIdoor", "a-livekit-secret-of-at-least-32-characters"
KEY, OTHER_KEY = "evk_acme_1234567890123456", "evk_globex_1234567890123456"
JSON = dict[str, Any]
PATIENCE = 60.0
"""Seconds in which a busy machine has to answer; until then it may be asked again."""


class KnownKeys:
    """The port `ApiKeys` with one key for each of two orgs."""

    async def resolve(self, key: str) -> Principal | None:
        orgs = {KEY: "acme", OTHER_KEY: "globex"}
        return Principal(org=orgs[key], user_id="u-1") if key in orgs else None


def services(studio: Studio, workflows: TemporalSessions | None = None) -> ApiDependencies:
    """What the routes need, from the studio."""
    archive = studio.archive
    return ApiDependencies(
        sessions=workflows or TemporalSessions(studio.client, studio.settings.temporal_task_queue),
        rooms=studio.rooms,
        installation=FixedInstallation(),
        keys=KnownKeys(),
        agent_servers=MemoryAgentServers(),
        archive=Archive(archive.sessions, Transcripts(archive.transcripts), archive.summaries),
        callers=CallerTokens("https://livekit.test", LIVEKIT_KEY, LIVEKIT_SECRET, 900),
        agent_name=AGENT_NAME,
        livekit_keys={LIVEKIT_KEY: LIVEKIT_SECRET},
        webhook_keys={LIVEKIT_KEY: LIVEKIT_SECRET},
        callback_secret=CALLBACK_SECRET,
    )


@dataclass(frozen=True)
class Door:
    """The API as a client of one org, an agent and LiveKit see it."""

    app: FastAPI
    http: httpx.AsyncClient
    studio: Studio
    deps: ApiDependencies

    async def start(self, *agents: Plays, archive: bool = True, **limits: float) -> Call:
        """Start a session whose agents are played, by `POST /session`; returns when dispatched."""
        return await self._start(
            self.studio.call(*agents, archive=archive, agent_name=AGENT_NAME, place=None, **limits)
        )

    async def start_with(self, **fields: Any) -> Call:
        """Start a session with further fields of the body; nobody plays its agent."""
        return await self._start(self.studio.call(agent_name=AGENT_NAME, place=None), **fields)

    async def _start(self, call: Call, **fields: Any) -> Call:
        body = session_body(call) | fields
        answer = await at_last(lambda: self.http.post("/session", json=body), late=202)
        assert answer.status_code == 200, answer.text
        return call

    async def live(self, *agents: Plays, **limits: float) -> Call:
        """Start a session and wait until its agent is proven in the room."""
        call = await self.start(*agents, archive=True, **limits)
        await call.until("joined", lambda status: status.joins > 0)
        return call

    def as_agent(self, key: SessionKey, attempt: int = 1, lifetime: float = 60.0) -> dict[str, str]:
        """Headers with a genuine callback token; a negative lifetime makes an expired one."""
        claims = CallbackClaims(
            org=key.org,
            session_id=key.session_id,
            attempt=attempt,
            expires=int(time.time() + lifetime),
        )
        return {"Authorization": f"Bearer {callback_token.mint(CALLBACK_SECRET, claims)}"}

    async def webhook(self, event: Mapping[str, Any], *, secret: str = LIVEKIT_SECRET) -> JSON:
        """LiveKit's signed webhook; returns the answer with its status under `status`."""
        body = json.dumps({"createdAt": str(int(time.time())), **event}).encode()
        signature = sign_body(LIVEKIT_KEY, secret, body, WEBHOOK)
        answer = await self.http.post(
            "/v1/livekit/webhook",
            content=body,
            headers={"Authorization": signature, "content-type": "application/webhook+json"},
        )
        return {"status": answer.status_code, **answer.json()}

    async def heartbeat(self, beat: Mapping[str, Any]) -> httpx.Response:
        """An agent server's signed heartbeat."""
        body = json.dumps(beat).encode()
        signature = sign_body(LIVEKIT_KEY, LIVEKIT_SECRET, body, HEARTBEAT)
        return await self.http.post(
            "/v1/agent-servers/heartbeat", content=body, headers={"Authorization": signature}
        )


def session_body(call: Call) -> JSON:
    """Body of `POST /session` for a prepared call."""
    return {
        "userIdentity": "caller",
        "sessionId": call.key.session_id,
        "roomName": call.request.room_name,
        "limits": call.request.limits.model_dump(),
    }


async def at_last(
    ask: Callable[[], Awaitable[httpx.Response]], late: int | None = None
) -> httpx.Response:
    """The answer to a request that may be made twice, when Temporal and its worker had the time.

    `late` is a further status that only says that something took longer than it was waited for.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = await ask()
        if time.monotonic() > deadline or not (answer.status_code == late or await _busy(answer)):
            return answer


async def _busy(answer: httpx.Response) -> bool:
    if answer.status_code != 503:
        return False
    await answer.aread()
    return answer.json().get("code") == "unavailable"


class PatientTransport(httpx.AsyncBaseTransport):
    """Leads to an app in this process; what is only read is asked for until it is answered."""

    def __init__(self, app: FastAPI) -> None:
        self._app = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            return await self._app.handle_async_request(request)
        return await at_last(lambda: self._app.handle_async_request(request))


@asynccontextmanager
async def open_door(
    studio: Studio, deps: ApiDependencies, key: str | None = KEY, *, patient: bool = True
) -> AsyncGenerator[Door]:
    """The API for a block; `key` is sent with every request unless it is None.

    Not patient is who wants to hear that something is away.
    """
    app = app_with(deps)
    at_once = httpx.ASGITransport(app, raise_app_exceptions=False)
    transport = PatientTransport(app) if patient else at_once
    headers = {"x-api-key": key} if key else {}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api.test", headers=headers, timeout=30
    ) as http:
        yield Door(app, http, studio, deps)


def without_mongodb(deps: ApiDependencies) -> ApiDependencies:
    """The same, as if `MONGODB_URI` were not set."""
    return replace(deps, archive=None)


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    """Whether an answer is a problem of this status and code, in the one shape of all problems."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert {"type", "title", "detail"} <= problem.keys()
    assert all("reason" in fault for fault in problem.get("errors", []))
    assert problem.get("request_id", answer.headers.get("x-request-id")) == answer.headers.get(
        "x-request-id"
    )
    return problem["code"] == code
