"""Start a session over HTTP, as both start routes do."""

import secrets
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Response
from pydantic import BaseModel

from adapters.livekit.tokens import caller_token
from adapters.livekit.urls import client_url
from api.answers import RequestBody
from api.dependencies import Client, Deps
from api.routes.agents.masked_config import MaskedConfig
from domain.agents.config import AgentConfig, ConfigWarning
from domain.agents.masking import masked
from domain.ids import GivenRoomName, Id
from domain.sessions.metadata import GivenMetadata
from domain.sessions.session import GivenLimits, Stage
from services.agents.engine_choice import resolved_voice
from services.sessions.start import StartRequest


class StartFields(RequestBody):
    """What both start routes accept."""

    session_id: Id | None = None
    room_name: GivenRoomName | None = None
    agent_id: Id | None = None
    agent_config: AgentConfig | None = None
    limits: GivenLimits = GivenLimits()
    metadata: GivenMetadata = {}


class StartResponse(BaseModel):
    """Response of `POST /v1/sessions/start`; secrets in `agent_config` are masked."""

    session_id: str
    room_name: str
    livekit_url: str
    livekit_token: str
    user_identity: str
    model: str | None
    voice: str | None
    agent_dispatched: bool
    agent_joined: bool
    queue_position: int | None
    """Position in the queue for an agent, from 1; null for a session that does not wait."""
    queue_seconds: float | None
    """How long it may have to wait in the queue; null if that is not known."""
    agent_config: MaskedConfig
    metadata: dict[str, str]
    warnings: list[ConfigWarning]
    """Settings that do not have the effect that they seem to have."""


def still_starting(response: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The 202 response of a start whose stage was not reached in time, for `responses`."""
    text = "Accepted: the session continues, but has not reached the stage `wait` yet."
    return {202: {"model": response, "description": text}}


@dataclass
class _Start:
    """Starts a session, with what both routes take besides the body."""

    request: Request
    response: Response
    deps: Deps
    client: Client
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None
    wait: Annotated[Stage, Query(description="how far to wait before answering")] = Stage.DISPATCHED

    async def __call__(self, body: StartFields, user_identity: str | None) -> StartResponse:
        """Start a session, or find the one that the same request started before.

        Raises:
            EverlineError: nothing was started, or the session has ended already, with the reason.
        """
        once = self.idempotency_key
        # A retry must be the same request, so an identity made for it must be the same as well.
        own = "caller" if once or body.session_id else f"caller-{secrets.token_hex(6)}"
        identity = user_identity or own
        wanted = StartRequest.model_validate(
            dict(body) | {"user_identity": identity, "idempotency_key": once}
        )
        given = wanted.key(self.client.org)
        # For the request log, also if the start fails.
        self.request.state.session = given.session_id if given else None
        started = await self.deps.starter.start(self.client, wanted, self.wait)
        session, status = started.input, started.status
        self.request.state.session = session.session_id
        self.response.status_code = 200 if status else 202
        callers = self.deps.callers
        return StartResponse(
            session_id=session.session_id,
            room_name=session.livekit_room,
            livekit_url=client_url(callers.livekit_url),
            livekit_token=caller_token(
                callers.api_key,
                callers.api_secret,
                room=session.livekit_room,
                identity=session.caller_identity,
                ttl_seconds=callers.seconds,
            ),
            user_identity=identity,
            model=session.config.engine.llm,
            voice=resolved_voice(session.config.engine),
            agent_dispatched=status.agent_dispatched if status else False,
            agent_joined=status.agent_joined if status else False,
            queue_position=(status or started.admitted).queue_position,
            queue_seconds=(status or started.admitted).queue_seconds,
            agent_config=masked(session.config),
            metadata=session.metadata,
            warnings=started.warnings,
        )


Start = Annotated[_Start, Depends()]
