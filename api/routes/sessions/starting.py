"""Start a session and say how far it got; both start routes answer from here."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import BaseModel
from starlette.datastructures import State

from adapters.livekit.tokens import caller_token
from adapters.livekit.urls import client_url
from adapters.temporal.sessions import Started
from api.dependencies import Services
from domain.access.principal import Principal
from domain.agents.config import ConfigWarning
from domain.agents.config_summary import config_summary
from domain.errors import Conflict, EverlineError, NotFound, RoomNameTaken, Unavailable
from domain.ids import SessionKey
from domain.sessions.rooms import owner_of_room
from domain.sessions.session import EndReason, SessionInput, SessionStatus, Stage
from services.sessions.start import StartRequest, given_key, resolved_configuration, session_input

log = structlog.get_logger()

WAIT_SECONDS = {Stage.ACCEPTED: 0.0, Stage.DISPATCHED: 10.0, Stage.JOINED: 30.0}
"""How long a start waits for its stage; then it answers 202 and the session goes on."""
ROOM_LOOK_SECONDS = 1.0
"""How long a start may take to see whose room it names; the session's workflow looks as well."""


def still_starting(answer: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The answer of a start that did not get as far as it was to wait, for its `responses`."""
    text = "Accepted: the session goes on, and has not got as far as `wait` says."
    return {202: {"model": answer, "description": text}}


class SessionEnded(Unavailable):
    """The session ended before it reached what the start waited for (HTTP 503)."""

    code = "session_ended"


@dataclass(frozen=True)
class StartedSession:
    """What a start tells its client.

    Attributes:
        input: what the session runs.
        dispatched: LiveKit accepted the dispatch of an agent.
        joined: the agent is proven to be in the room.
        warnings: what in the configuration has another effect than it seems to have; none where
            a repeated start finds another version of its agent than the session runs.
        token: the caller's token.
        livekit_url: where the caller connects.
        http_status: 200 if the stage was reached, 202 if the session goes on without it.
    """

    input: SessionInput
    dispatched: bool
    joined: bool
    token: str
    livekit_url: str
    http_status: int
    warnings: list[ConfigWarning]


def new_identity() -> str:
    """An identity for a caller who names none."""
    return f"caller-{secrets.token_hex(6)}"


async def start_session(
    wired: Services,
    principal: Principal,
    request: StartRequest,
    idempotency_key: str | None,
    stage: Stage,
    state: State,
) -> StartedSession:
    """Start a session, idempotently; its id is noted in the state of the HTTP request, for the log.

    Raises:
        EverlineError: nothing was started, or the session has ended already, with the reason.
    """
    try:
        configuration = await resolved_configuration(
            request, principal, wired.agents, wired.catalog
        )
    except EverlineError:
        # Its agent may be changed, deleted or out of reach since then; the session is not.
        started = await _started_before(wired, principal, request, idempotency_key, stage)
        if started is None:
            raise
        state.session = started.input.session_id
        return _answer(wired, started, [])
    resolved = session_input(
        request,
        configuration,
        principal,
        agent_name=wired.agent_name,
        idempotency_key=idempotency_key,
        archive=wired.archive is not None,
    )
    state.session = resolved.session_id
    _log_configuration(resolved, configuration.warnings)
    if request.room_name is not None:
        await _refuse_room_of_another(wired, resolved)
    async with _place(wired, resolved.key) as holds_slot:
        resolved.slot = holds_slot
        started = await wired.workflows.start(resolved, stage, WAIT_SECONDS[stage])
        if started.closed:
            # Within the place, which is given back: this start began no session.
            raise _over(started, "is closed")
    if started.status and started.status.agent_joined and not started.again:
        wired.livekit_webhooks.expected(datetime.now(UTC))
    as_resolved = started.input.agent_version == resolved.agent_version
    return _answer(wired, started, configuration.warnings if as_resolved else [])


async def _started_before(
    wired: Services,
    principal: Principal,
    request: StartRequest,
    idempotency_key: str | None,
    stage: Stage,
) -> Started | None:
    """The session that the same request started before, with a saved agent; None if there is none.

    Asked only where the agent cannot be had: other starts find it when they meet its workflow,
    and a first start is not to pay for a look.
    """
    key = given_key(request, principal.org, idempotency_key)
    if key is None or request.agent_id is None:
        return None
    digest = request.digest(principal.org)
    try:
        return await wired.workflows.find(key, digest, stage, WAIT_SECONDS[stage])
    except NotFound:
        return None


async def _refuse_room_of_another(wired: Services, resolved: SessionInput) -> None:
    """Refuse a start in another session's room before its workflow, which would use up its id.

    What cannot be seen from here is left to the workflow, which looks again: LiveKit that is away
    keeps nobody from starting, and two starts can come at the same moment.

    Raises:
        RoomNameTaken: the room exists and is another session's; nothing was started.
        Unavailable: it is another's, and Temporal is away.
    """
    room = resolved.livekit_room
    try:
        async with asyncio.timeout(ROOM_LOOK_SECONDS):
            found = await wired.rooms.list_rooms([room])
    except (EverlineError, TimeoutError) as error:
        reason = str(error) or "LiveKit does not answer in time"
        log.warning("whose room it is was not seen", room=room, reason=reason)
        return
    if not found:
        return
    installation = await wired.installation.id()
    owners = [owner_of_room(room.metadata) for room in found]
    if all(owner and owner.may_be(resolved.key, installation) for owner in owners):
        return
    # A session that was started before is what the answer is about, not the room's next owner.
    if not await wired.workflows.exists(resolved.key):
        raise RoomNameTaken(
            f"room {room} belongs to another session",
            field="roomName",
            cure="choose another roomName, or leave it out to get a new one",
        )


@asynccontextmanager
async def _place(wired: Services, key: SessionKey) -> AsyncGenerator[bool]:
    """A place among the org's sessions; yields whether the session has to free a slot."""
    if wired.quota is None:
        yield False
        return
    async with wired.quota.place(key) as holds_slot:
        yield holds_slot


def _log_configuration(resolved: SessionInput, warnings: list[ConfigWarning]) -> None:
    log.info(
        "configuration resolved",
        org=resolved.org,
        session=resolved.session_id,
        agent_version=resolved.agent_version,
        config=config_summary(resolved.config),
        warnings=[f"{warning.field}: {warning.reason}" for warning in warnings],
    )


def _over(started: Started, what: str) -> Conflict:
    return Conflict(
        f"session {started.input.session_id} was started before and {what}",
        field="sessionId",
        cure="use another sessionId or Idempotency-Key for a new session",
    )


def _ended(status: SessionStatus) -> EverlineError:
    reason = status.reason or "the session has ended"
    if status.end_reason is EndReason.ROOM_NAME_TAKEN:
        return RoomNameTaken(
            reason,
            field="roomName",
            cure="choose another roomName, and another sessionId or Idempotency-Key:"
            " this one is used up",
        )
    return SessionEnded(
        f"the session ended at once: {reason}",
        cure="start another one, with another sessionId or Idempotency-Key;"
        " GET /health/agent tells what an agent lacks",
        retry_after=5,
    )


def _answer(wired: Services, started: Started, warnings: list[ConfigWarning]) -> StartedSession:
    """What a start answers, of the session as it runs.

    Raises:
        EverlineError: it has ended.
    """
    status, running = started.status, started.input
    if started.closed:
        raise _over(started, "is closed")
    if status and status.ended_at:
        if started.again and status.end_reason is not EndReason.ROOM_NAME_TAKEN:
            raise _over(started, f"has ended: {status.reason}")
        raise _ended(status)
    callers = wired.callers
    token = caller_token(
        callers.api_key,
        callers.api_secret,
        room=running.livekit_room,
        identity=running.caller_identity,
        ttl_seconds=callers.seconds,
    )
    return StartedSession(
        input=running,
        dispatched=status.agent_dispatched if status else False,
        joined=status.agent_joined if status else False,
        token=token,
        livekit_url=client_url(callers.livekit_url),
        http_status=200 if status else 202,
        warnings=warnings,
    )
