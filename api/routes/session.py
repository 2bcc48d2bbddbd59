"""The seed service's session routes, with its paths and field names."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api import starting
from api.dependencies import Client, Services, Wired
from api.ending import end_session, session_of_room
from api.reports import AgentClaims, take_report
from domain.agent_config import AgentConfig, ConfigWarning
from domain.errors import InvalidInput
from domain.ids import SessionKey, check_id
from domain.masking import masked
from domain.ports import Principal
from domain.session import SessionLimits, Stage
from domain.transcript import AgentReport
from services.start import StartRequest

router = APIRouter(tags=["session"])

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255)]
Wait = Annotated[Stage, Query(description="how far to wait before answering")]


class SessionRequest(BaseModel):
    """Body of `POST /session`."""

    model_config = ConfigDict(extra="forbid")

    userIdentity: str = Field(min_length=1, max_length=256)
    roomName: str | None = None
    sessionId: str | None = None
    agentId: str | None = None
    agentConfig: AgentConfig | None = None
    limits: SessionLimits = SessionLimits()


class SessionResponse(BaseModel):
    """Answer of `POST /session`; secrets in `agentConfig` are masked."""

    userToken: str
    roomName: str
    sessionId: str
    livekitUrl: str
    agentDispatched: bool
    agentConfig: dict[str, Any]
    warnings: list[ConfigWarning] = []
    """What in the configuration has another effect than it seems to have; left out if nothing."""


class EndRequestBody(BaseModel):
    """Body of `POST /session/end`: one of the two."""

    model_config = ConfigDict(extra="forbid")

    roomName: str | None = None
    sessionId: str | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "EndRequestBody":
        if not self.roomName and not self.sessionId:
            raise ValueError("roomName or sessionId is needed")
        return self


class EndResponse(BaseModel):
    """Answer of `POST /session/end`."""

    sessionId: str
    ended: bool
    """False if it was closed before."""


class ReportResponse(BaseModel):
    """Answer of `POST /session/observability`."""

    sessionId: str
    stored: bool
    """False without MongoDB."""


@router.post("/session", response_model_exclude_defaults=True)
async def create_session(
    body: SessionRequest,
    response: Response,
    wired: Wired,
    client: Client,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = Stage.DISPATCHED,
) -> SessionResponse:
    """Start a session: room, caller's token, agent. The same request finds the same session."""
    started = await starting.start_session(
        wired,
        client,
        StartRequest(
            user_identity=body.userIdentity,
            session_id=body.sessionId,
            room_name=body.roomName,
            agent_id=body.agentId,
            agent_config=body.agentConfig,
            limits=body.limits,
        ),
        idempotency_key,
        wait,
    )
    response.status_code = started.http_status
    return SessionResponse(
        userToken=started.token,
        roomName=started.input.livekit_room,
        sessionId=started.input.session_id,
        livekitUrl=started.livekit_url,
        agentDispatched=started.dispatched,
        agentConfig=masked(started.input.config),
        warnings=started.warnings,
    )


@router.post("/session/end")
async def end(body: EndRequestBody, wired: Wired, client: Client) -> EndResponse:
    """End a session: the agent finishes, hands in its report, and only then is the room deleted."""
    key = await _key(wired, client, body)
    ended = await end_session(wired, key, f"end-{uuid4().hex}", by="POST /session/end")
    return EndResponse(sessionId=key.session_id, ended=ended)


async def _key(wired: Services, client: Principal, body: EndRequestBody) -> SessionKey:
    if body.sessionId:
        return SessionKey(client.org, check_id(body.sessionId, "sessionId"))
    if body.roomName is None:
        raise InvalidInput("roomName or sessionId is needed", field="sessionId")
    return await session_of_room(wired, client.org, body.roomName)


@router.post("/session/observability")
async def observability(report: AgentReport, wired: Wired, claims: AgentClaims) -> ReportResponse:
    """The agent's report at the end of its part; stored first, then the session is told."""
    stored = await take_report(wired, claims, report, datetime.now(UTC))
    return ReportResponse(sessionId=claims.session_id, stored=stored)
