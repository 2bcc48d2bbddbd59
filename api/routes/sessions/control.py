"""Sessions for operators: list them, and control the open ones."""

from typing import Annotated

from fastapi import Header, Query
from pydantic import BaseModel, Field

from api.answers import RequestBody
from api.dependencies import Client, Deps, Key
from api.metadata_filter import METADATA_PARAMETER, MetadataFilter
from api.problems import problems
from api.routing import Router
from domain.access.principal import Principal
from domain.errors import Unavailable
from domain.ids import Id
from domain.json_model import Time
from domain.sessions.listing import SessionFilter, SessionPage
from domain.sessions.messages import LONGEST_EXTENSION, Extend, Finalise, Redispatch
from domain.sessions.session import Outcome, SessionState, SessionStatus

router = Router(prefix="/v1/sessions", tags=["sessions"])

UpdateId = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="requests with the same key take effect once; 409 if the body differs",
    ),
]


class ExtendBody(RequestBody):
    """Body of `POST /v1/sessions/{session_id}/extend`."""

    seconds: float = Field(gt=0, le=LONGEST_EXTENSION)


class SessionQuery(BaseModel):
    """Which sessions are listed, and from where; `metadata` is a parameter of its own form."""

    state: SessionState | None = None
    outcome: Outcome | None = None
    agent: Id | None = Field(
        default=None, description="the saved agent's id; without one, the agent's name"
    )
    started_after: Time | None = Field(default=None, description="inclusive")
    started_before: Time | None = Field(default=None, description="exclusive")
    stuck: bool = Field(
        default=False, description="only open ones that wait too long for a machine"
    )
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(
        default=None, min_length=1, max_length=2_000, description="`next` of the previous page"
    )


@router.get("", openapi_extra=METADATA_PARAMETER)
async def list_sessions(
    deps: Deps, client: Client, query: Annotated[SessionQuery, Query()], metadata: MetadataFilter
) -> SessionPage:
    """List the org's sessions: the open ones first, then the closed ones, newest first in each.

    With `metadata`, a page may be shorter than `limit`, or empty, although there is a `next`.
    """
    if deps.lists is None:
        raise Unavailable("sessions cannot be listed here")
    filters = query.model_dump(exclude={"limit", "cursor"})
    wanted = SessionFilter(**filters, metadata=metadata)
    return await deps.lists.page(client.org, wanted, query.limit, query.cursor)


@router.post("/{session_id}/extend", responses=problems(409))
async def extend_session(
    key: Key, body: ExtendBody, deps: Deps, once: UpdateId = None
) -> SessionStatus:
    """Extend the maximum duration of a live call by the given number of seconds."""
    extension = Extend(seconds=body.seconds, idempotency_key=once)
    return await deps.control.operate(key, extension, once)


@router.post("/{session_id}/redispatch", responses=problems(409))
async def redispatch_session(
    key: Key, deps: Deps, client: Client, once: UpdateId = None
) -> SessionStatus:
    """Replace the agent of a live call with a new one, which gets the turns so far.

    If no agent server has a free place, the answer is `no_capacity`, and the call continues.
    """
    return await deps.control.operate(key, Redispatch(by=_who(client)), once)


@router.post("/{session_id}/finalise", responses=problems(409))
async def finalise_session(
    key: Key, deps: Deps, client: Client, once: UpdateId = None
) -> SessionStatus:
    """End a session without waiting any longer for the agent's report."""
    return await deps.control.operate(key, Finalise(by=_who(client)), once)


def _who(client: Principal) -> str:
    return f"user {client.user_id}" if client.user_id else "the API"
