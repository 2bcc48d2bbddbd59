"""The older LiveKit backend's session routes, with its paths and field names."""

from datetime import UTC, datetime

from fastapi import Request
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from api.answers import CamelCaseAnswer
from api.dependencies import ApiDependencies, Client, Deps
from api.problems import problems
from api.routes.agent_callbacks.reporters import (
    AnyReport,
    ReporterClaims,
    checked_report,
)
from api.routes.agents.masked_config import MaskedConfig
from api.routes.sessions.starting import Start, StartFields, still_starting
from api.routing import Router
from domain.access.principal import Principal
from domain.agents.config import ConfigWarning
from domain.errors import InvalidInput
from domain.ids import GivenRoomName, Id, Identity, SessionKey
from domain.json_model import JsonModel

router = Router(tags=["session"])


class SessionRequest(StartFields):
    """Body of `POST /session`."""

    model_config = ConfigDict(alias_generator=to_camel)

    user_identity: Identity


class SessionResponse(CamelCaseAnswer):
    """Response of `POST /session`; secrets in `agentConfig` are masked."""

    user_token: str
    room_name: str
    session_id: str
    livekit_url: str
    agent_dispatched: bool
    queue_position: int | None = None
    """Position in the queue for an agent, from 1; left out for a session that does not wait."""
    queue_seconds: float | None = None
    """How long it may have to wait in the queue; left out if that is not known."""
    agent_config: MaskedConfig
    metadata: dict[str, str] = {}
    """As given; left out if there is none."""
    warnings: list[ConfigWarning] = []
    """Settings that do not have the effect that they seem to have; left out if there are none."""


def _given(name: str) -> JsonDict:
    """JSON Schema for a field that is given, and not null."""
    return {"required": [name], "properties": {name: {"type": "string"}}}


class EndRequestBody(JsonModel):
    """Body of `POST /session/end`: one of the two."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"anyOf": [_given("roomName"), _given("sessionId")]},
    )

    roomName: GivenRoomName | None = None
    sessionId: Id | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "EndRequestBody":
        if self.roomName is None and self.sessionId is None:
            raise ValueError("roomName or sessionId is needed")
        return self


class EndResponse(BaseModel):
    """Response of `POST /session/end`."""

    sessionId: str
    ended: bool
    """False if it was closed before."""


class ReportResponse(BaseModel):
    """Response of `POST /session/observability`."""

    sessionId: str
    stored: bool
    """False without MongoDB, and after the transcript was deleted."""


@router.post(
    "/session",
    response_model_exclude_defaults=True,
    responses={**still_starting(SessionResponse), **problems(404, 409)},
)
async def create_session(body: SessionRequest, start: Start) -> SessionResponse:
    """Start a session: room, caller's token, agent. The same request finds the same session."""
    started = await start(body, body.user_identity)
    return SessionResponse.of(started, user_token=started.livekit_token)


@router.post("/session/end", responses=problems(404))
async def end_session_or_room(
    body: EndRequestBody, request: Request, deps: Deps, client: Client
) -> EndResponse:
    """End a session. Its room is deleted after the agent has finished and sent its report."""
    key = await _key(deps, client, body)
    request.state.session = key.session_id
    ended = await deps.control.end(key, by="POST /session/end")
    return EndResponse(sessionId=key.session_id, ended=ended)


async def _key(deps: ApiDependencies, client: Principal, body: EndRequestBody) -> SessionKey:
    if body.sessionId:
        return SessionKey(client.org, body.sessionId)
    if body.roomName is None:
        raise InvalidInput("roomName or sessionId is needed", field="sessionId")
    return await deps.control.by_room(client.org, body.roomName)


@router.post("/session/observability", responses=problems(404, 409))
async def report_session(
    report: AnyReport, request: Request, deps: Deps, claims: ReporterClaims
) -> ReportResponse:
    """Store the report that an agent sends at the end of its attempt, and tell its session.

    With `EVERLINE_ACCEPT_UNSIGNED_REPORTS`, external agents send it without a token. It then
    belongs to the session in the room that it names, if that session waits for a report.
    """
    now = datetime.now(UTC)
    if claims is None:
        key, stored = await deps.reports.take_by_room(report, now)
        request.state.org, request.state.session = key.org, key.session_id
        return ReportResponse(sessionId=key.session_id, stored=stored)
    stored = await deps.reports.take(claims.key, checked_report(claims, report, now), now)
    return ReportResponse(sessionId=claims.session_id, stored=stored)
