"""The response to a start, shared by both start routes."""

import secrets
from typing import Any

from pydantic import BaseModel
from starlette.datastructures import State

from adapters.livekit.tokens import caller_token
from adapters.livekit.urls import client_url
from api.dependencies import ApiDependencies, CallerTokens
from domain.access.principal import Principal
from domain.agents.config import ConfigWarning
from domain.sessions.session import SessionInput, Stage
from services.sessions.start import StartRequest
from services.sessions.starter import StartedSession


def still_starting(answer: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The 202 response of a start whose stage was not reached in time, for `responses`."""
    text = "Accepted: the session goes on, and has not got as far as `wait` says."
    return {202: {"model": answer, "description": text}}


def new_identity() -> str:
    """An identity for a caller without one."""
    return f"caller-{secrets.token_hex(6)}"


class StartAnswer:
    """What a start tells its client.

    Attributes:
        input: what the session runs.
        dispatched: LiveKit accepted the dispatch of an agent.
        joined: the agent is proven to be in the room.
        warnings: what in the configuration has another effect than it seems to have.
        token: the caller's token.
        livekit_url: where the caller connects.
        http_status: 200 if the stage was reached, 202 if the session goes on without it.
    """

    def __init__(self, started: StartedSession, callers: CallerTokens) -> None:
        status = started.status
        self.input: SessionInput = started.input
        self.dispatched: bool = status.agent_dispatched if status else False
        self.joined: bool = status.agent_joined if status else False
        self.warnings: list[ConfigWarning] = started.warnings
        self.token: str = caller_token(
            callers.api_key,
            callers.api_secret,
            room=started.input.livekit_room,
            identity=started.input.caller_identity,
            ttl_seconds=callers.seconds,
        )
        self.livekit_url: str = client_url(callers.livekit_url)
        self.http_status: int = 200 if status else 202


async def start_session(
    deps: ApiDependencies, principal: Principal, request: StartRequest, stage: Stage, state: State
) -> StartAnswer:
    """Start a session; its id is noted in the state of the HTTP request, for the log.

    Raises:
        EverlineError: nothing was started, or the session has ended already, with the reason.
    """
    given = request.key(principal.org)
    state.session = given.session_id if given else None
    started = await deps.starter.start(principal, request, stage)
    state.session = started.input.session_id
    return StartAnswer(started, deps.callers)
