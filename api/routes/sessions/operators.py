"""Sessions for operators: find them, and steer the ones that are open."""

import hashlib
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Header, Query
from pydantic import ConfigDict, Field

from adapters.temporal.sessions import Operation
from api.dependencies import Client, Services, SessionId, Wired, require_session
from api.problems import problems
from domain.access.principal import Principal
from domain.agents.servers import MORE_PLACES
from domain.errors import Conflict, IdempotencyMismatch, NoCapacity, NotFound, Unavailable
from domain.ids import Id, SessionKey
from domain.json_model import JsonModel, Time
from domain.sessions.listing import SessionFilter, SessionPage
from domain.sessions.messages import LONGEST_EXTENSION, Extend, Finalise, Redispatch
from domain.sessions.session import Outcome, SessionState, SessionStatus

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

UpdateId = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="the same key does it once, however often the request is sent;"
        " with another body it is 409",
    ),
]


class ExtendBody(JsonModel):
    """Body of `POST /v1/sessions/{session_id}/extend`."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(gt=0, le=LONGEST_EXTENSION)


@router.get("")
async def list_sessions(
    wired: Wired,
    client: Client,
    state: SessionState | None = None,
    outcome: Outcome | None = None,
    agent: Annotated[
        Id | None, Query(description="the saved agent's id; without one, the agent's name")
    ] = None,
    started_after: Annotated[Time | None, Query(description="inclusive")] = None,
    started_before: Annotated[Time | None, Query(description="exclusive")] = None,
    stuck: Annotated[
        bool, Query(description="only open ones that wait for a machine for too long")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[
        str | None, Query(min_length=1, max_length=2_000, description="`next` of the page before")
    ] = None,
) -> SessionPage:
    """The org's sessions: first the open ones, then those that are over, each the newest first."""
    if wired.lists is None:
        raise Unavailable("sessions cannot be listed here")
    wanted = SessionFilter(
        state=state,
        outcome=outcome,
        agent=agent,
        started_after=started_after,
        started_before=started_before,
        stuck=stuck,
    )
    return await wired.lists.page(client.org, wanted, limit, cursor)


@router.post("/{session_id}/extend", responses=problems(409))
async def extend_session(
    session_id: SessionId, body: ExtendBody, wired: Wired, client: Client, once: UpdateId = None
) -> SessionStatus:
    """Move the maximum duration of a call in progress by so many seconds."""
    extension = Extend(seconds=body.seconds, idempotency_key=once)
    return await _operate(wired, client, session_id, extension, once)


@router.post("/{session_id}/redispatch", responses=problems(409))
async def redispatch_session(
    session_id: SessionId, wired: Wired, client: Client, once: UpdateId = None
) -> SessionStatus:
    """Replace the agent of a live call by a new one, which gets the turns so far.

    Without a free place on any agent server it is refused with `no_capacity`, and the call goes on.
    """
    return await _operate(wired, client, session_id, Redispatch(by=_who(client)), once)


@router.post("/{session_id}/finalise", responses=problems(409))
async def finalise_session(
    session_id: SessionId, wired: Wired, client: Client, once: UpdateId = None
) -> SessionStatus:
    """End a session without waiting for the agent's report any longer."""
    return await _operate(wired, client, session_id, Finalise(by=_who(client)), once)


async def _operate(
    wired: Services, client: Principal, session_id: str, operation: Operation, once: str | None
) -> SessionStatus:
    key = SessionKey(client.org, session_id)
    try:
        return await wired.workflows.operate(key, operation, _update_id(operation, once))
    except IdempotencyMismatch as error:
        raise IdempotencyMismatch(
            error.message,
            field="Idempotency-Key",
            cure="repeat the request unchanged, or use another Idempotency-Key",
        ) from None
    except NoCapacity as error:
        raise NoCapacity(error.message, cure=MORE_PLACES) from None
    except NotFound:
        await require_session(wired, key)
        raise Conflict(f"session {session_id} is closed", field="sessionId") from None


def _update_id(operation: Operation, once: str | None) -> str:
    """The same for the same request: Temporal answers a known id without asking the session."""
    if once is None:
        return f"{type(operation).__name__}:{uuid4().hex}"
    body = operation.model_dump_json(exclude={"by", "idempotency_key"})
    digest = hashlib.sha256(f"{once}\n{body}".encode()).hexdigest()
    return f"{type(operation).__name__}:{digest}"


def _who(client: Principal) -> str:
    return f"user {client.user_id}" if client.user_id else "the API"
