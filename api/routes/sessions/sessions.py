"""Sessions under `/v1`."""

from pydantic import BaseModel, Field

from api.dependencies import Deps, Key, reader_of
from api.problems import problems
from api.routes.sessions.starting import Start, StartFields, StartResponse, still_starting
from api.routing import Router
from domain.errors import NotFound
from domain.ids import Identity
from domain.sessions.session import SessionStatus
from domain.transcripts.summary import Summary

router = Router(prefix="/v1/sessions", tags=["sessions"])


class StartBody(StartFields):
    """Body of `POST /v1/sessions/start`; everything is optional."""

    user_identity: Identity | None = None
    model: str | None = Field(default=None, description="the language model, provider/model")
    voice: str | None = Field(
        default=None,
        description="a bare voice (alloy) means a realtime model, provider/model:voice a pipeline",
    )


class Ended(BaseModel):
    """Response of `POST /v1/sessions/{session_id}/end`."""

    session_id: str
    ended: bool
    """False if it was closed before."""


@router.post("/start", responses={**still_starting(StartResponse), **problems(404, 409)})
async def start_session(body: StartBody, start: Start) -> StartResponse:
    """Start a session, and get what a caller needs to connect."""
    return await start(body, body.user_identity)


@router.get("/{session_id}")
async def get_session(key: Key, deps: Deps) -> SessionStatus:
    """Get what a session is doing, or how it ended, with its timeline."""
    return await deps.control.status(key)


@router.post("/{session_id}/end")
async def end_session(key: Key, deps: Deps) -> Ended:
    """Ask a session to end; the response does not wait for the end."""
    return Ended(session_id=key.session_id, ended=await deps.control.end(key, by="the API"))


@router.get("/{session_id}/summary")
async def get_summary(key: Key, deps: Deps) -> Summary:
    """Get the summary: pending, ready, or failed with the reason."""
    summary = await reader_of(deps).summary(key)
    if summary is None:
        raise NotFound(
            "there is no summary yet; it is written after the session has ended", field="sessionId"
        )
    return summary
