"""What the routes need, wired once per process in `api/main.py`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from api.workflows import SessionWorkflows
from domain import callback_token
from domain.callback_token import CallbackClaims
from domain.errors import Forbidden, NotFound, StorageUnavailable, Unauthenticated
from domain.ids import SessionKey, check_id
from domain.ports import (
    AgentServers,
    ApiKeys,
    Principal,
    Rooms,
    SessionArchive,
    SummaryArchive,
)
from services.transcripts import Transcripts


@dataclass(frozen=True)
class Archive:
    """What the API reads and writes in MongoDB."""

    sessions: SessionArchive
    transcripts: Transcripts
    summaries: SummaryArchive


@dataclass(frozen=True)
class CallerTokens:
    """How callers get into a room."""

    livekit_url: str
    """As clients use it: wss:// or ws://."""
    api_key: str
    api_secret: str
    seconds: int


@dataclass(frozen=True)
class Services:
    """Everything that the routes use."""

    workflows: SessionWorkflows
    rooms: Rooms
    keys: ApiKeys
    agent_servers: AgentServers
    archive: Archive | None
    callers: CallerTokens
    agent_name: str
    livekit_keys: Mapping[str, str]
    """Secrets by key name that agent servers sign with."""
    webhook_keys: Mapping[str, str]
    """Secrets by key name that LiveKit signs its webhooks with."""
    callback_secret: str


def services(request: Request) -> Services:
    """The services of the running app."""
    return request.app.state.services


Wired = Annotated[Services, Depends(services)]


async def principal(
    request: Request, wired: Wired, x_api_key: Annotated[str | None, Header()] = None
) -> Principal:
    """Who makes this request, by its `x-api-key`.

    Raises:
        Unauthenticated: no key, or one that is not known.
    """
    if not x_api_key:
        raise Unauthenticated(
            "this route needs an API key",
            field="x-api-key",
            cure="send your key in the x-api-key header",
        )
    found = await wired.keys.resolve(x_api_key)
    if found is None:
        raise Unauthenticated("the API key is not known", field="x-api-key")
    request.state.org = found.org
    return found


Client = Annotated[Principal, Depends(principal)]


def bearer_claims(request: Request, wired: Services, now: float) -> CallbackClaims:
    """Whom the request's callback token speaks for.

    Raises:
        Unauthenticated: no token, or not one of ours.
        Forbidden: expired.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated(
            "this route needs the callback token of the session",
            field="Authorization",
            cure="send `Bearer` and the callback_token of the dispatch metadata",
        )
    claims = callback_token.verify(wired.callback_secret, token.strip(), now)
    request.state.org = claims.org
    return claims


@dataclass(frozen=True)
class SessionAccess:
    """A session that the request may touch.

    Attributes:
        key: the session.
        attempt: the attempt of the agent that asks; None for a client.
    """

    key: SessionKey
    attempt: int | None


async def session_access(
    session_id: str,
    request: Request,
    wired: Wired,
    x_api_key: Annotated[str | None, Header()] = None,
) -> SessionAccess:
    """Access to one session's turns: by API key, or by the agent's callback token.

    Raises:
        Unauthenticated: neither, or a wrong one.
        Forbidden: a genuine callback token of another session.
    """
    if x_api_key is None and "authorization" in request.headers:
        claims = bearer_claims(request, wired, time.time())
        if claims.session_id != session_id:
            raise Forbidden("the callback token is for another session", field="Authorization")
        return SessionAccess(claims.key, claims.attempt)
    who = await principal(request, wired, x_api_key)
    return SessionAccess(SessionKey(who.org, check_id(session_id, "sessionId")), None)


Access = Annotated[SessionAccess, Depends(session_access)]


def archive_of(wired: Services) -> Archive:
    """The archive.

    Raises:
        StorageUnavailable: MongoDB is not configured.
    """
    if wired.archive is None:
        raise StorageUnavailable(
            "transcripts are kept in MongoDB, which is not configured",
            cure="set MONGODB_URI",
            retry_after=60,
        )
    return wired.archive


async def require_session(wired: Services, key: SessionKey) -> None:
    """Raise `NotFound` unless the session exists in this org, open, closed or archived."""
    if wired.archive and await wired.archive.sessions.get(key):
        return
    if not await wired.workflows.exists(key):
        raise NotFound(f"there is no session {key.session_id}", field="sessionId")
