"""Sessions under `/v1`."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.dependencies import (
    Client,
    Deps,
    SessionId,
    archive_of,
    require_kept,
)
from api.problems import problems
from api.routes.agents.masked_config import MaskedConfig
from api.routes.sessions import starting
from domain.agents.config import AgentConfig, ConfigWarning
from domain.agents.masking import masked
from domain.errors import NotFound
from domain.ids import GivenRoomName, Id, SessionKey
from domain.json_model import JsonModel
from domain.sessions.session import GivenLimits, SessionStatus, Stage
from domain.transcripts.summary import Summary
from services.agents.engine_choice import resolved_voice
from services.sessions.start import StartRequest

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])


class StartBody(JsonModel):
    """Body of `POST /v1/sessions/start`; everything is optional."""

    model_config = ConfigDict(extra="forbid")

    user_identity: str | None = Field(default=None, min_length=1, max_length=256)
    session_id: Id | None = None
    room_name: GivenRoomName | None = None
    agent_id: Id | None = None
    agent_config: AgentConfig | None = None
    model: str | None = Field(default=None, description="the language model, provider/model")
    voice: str | None = Field(
        default=None,
        description="a bare voice (alloy) means a realtime model, provider/model:voice a pipeline",
    )
    limits: GivenLimits = GivenLimits()


class StartResponse(BaseModel):
    """Answer of `POST /v1/sessions/start`; secrets in `agent_config` are masked."""

    session_id: str
    room_name: str
    livekit_url: str
    livekit_token: str
    user_identity: str
    model: str | None
    voice: str | None
    agent_dispatched: bool
    agent_joined: bool
    agent_config: MaskedConfig
    warnings: list[ConfigWarning]
    """What in the configuration has another effect than it seems to have."""


class Ended(BaseModel):
    """Answer of `POST /v1/sessions/{session_id}/end`."""

    session_id: str
    ended: bool
    """False if it was closed before."""


@router.post("/start", responses={**starting.still_starting(StartResponse), **problems(404, 409)})
async def start_session(
    body: StartBody,
    request: Request,
    response: Response,
    deps: Deps,
    client: Client,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    wait: Annotated[Stage, Query(description="how far to wait before answering")] = (
        Stage.DISPATCHED
    ),
) -> StartResponse:
    """Start a session and get what a caller needs to connect."""
    identity = body.user_identity or _identity(idempotency_key, body.session_id)
    wanted = StartRequest(
        user_identity=identity,
        session_id=body.session_id,
        idempotency_key=idempotency_key,
        room_name=body.room_name,
        agent_id=body.agent_id,
        agent_config=body.agent_config,
        model=body.model,
        voice=body.voice,
        limits=body.limits,
    )
    started = await starting.start_session(deps, client, wanted, wait, request.state)
    response.status_code = started.http_status
    engine = started.input.config.engine
    return StartResponse(
        session_id=started.input.session_id,
        room_name=started.input.livekit_room,
        livekit_url=started.livekit_url,
        livekit_token=started.token,
        user_identity=identity,
        model=engine.llm,
        voice=resolved_voice(engine),
        agent_dispatched=started.dispatched,
        agent_joined=started.joined,
        agent_config=masked(started.input.config),
        warnings=started.warnings,
    )


def _identity(idempotency_key: str | None, session_id: str | None) -> str:
    """A retry must be the same request, so an identity made for it must be the same as well."""
    return "caller" if idempotency_key or session_id else starting.new_identity()


@router.get("/{session_id}")
async def get_session(session_id: SessionId, deps: Deps, client: Client) -> SessionStatus:
    """What a session is doing, or how it ended, with its timeline."""
    return await deps.control.status(SessionKey(client.org, session_id))


@router.post("/{session_id}/end")
async def end_session(session_id: SessionId, deps: Deps, client: Client) -> Ended:
    """Ask a session to end; answers at once, the session winds down on its own."""
    key = SessionKey(client.org, session_id)
    ended = await deps.control.end(key, by="the API")
    return Ended(session_id=session_id, ended=ended)


@router.get("/{session_id}/summary")
async def get_summary(session_id: SessionId, deps: Deps, client: Client) -> Summary:
    """The summary: pending, ready or failed with the reason."""
    key = SessionKey(client.org, session_id)
    summaries = archive_of(deps).summaries
    await require_kept(deps, key)
    summary = await summaries.get(key)
    if summary is None:
        await deps.control.require(key)
        raise NotFound(
            "there is no summary yet; it is made when the session has ended", field="sessionId"
        )
    return summary
