"""Start a session and say how far it got; both start routes answer from here."""

import secrets
from dataclasses import dataclass

from adapters.livekit_tokens import caller_token
from adapters.livekit_urls import client_url
from api.dependencies import Services
from domain.errors import Conflict, EverlineError, RoomNameTaken, Unavailable
from domain.ports import Principal
from domain.session import EndReason, SessionInput, SessionStatus, Stage
from services.start import StartRequest, session_input

WAIT_SECONDS = {Stage.ACCEPTED: 0.0, Stage.DISPATCHED: 10.0, Stage.JOINED: 30.0}
"""How long a start waits for its stage; then it answers 202 and the session goes on."""


class SessionEnded(Unavailable):
    """The session ended before it reached what the start waited for (HTTP 503)."""

    code = "session_ended"


@dataclass(frozen=True)
class StartedSession:
    """What a start tells its client.

    Attributes:
        input: the resolved session.
        dispatched: LiveKit accepted the dispatch of an agent.
        joined: the agent is proven to be in the room.
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


def new_identity() -> str:
    """An identity for a caller who names none."""
    return f"caller-{secrets.token_hex(6)}"


async def start_session(
    wired: Services,
    principal: Principal,
    request: StartRequest,
    idempotency_key: str | None,
    stage: Stage,
) -> StartedSession:
    """Start a session, idempotently.

    Raises:
        EverlineError: nothing was started, or the session has ended already, with the reason.
    """
    resolved = session_input(
        request,
        principal,
        agent_name=wired.agent_name,
        idempotency_key=idempotency_key,
        archive=wired.archive is not None,
    )
    started = await wired.workflows.start(resolved, stage, WAIT_SECONDS[stage])
    if started.closed:
        raise Conflict(
            f"session {resolved.session_id} was started before and is closed",
            field="sessionId",
            cure="use another sessionId or Idempotency-Key for a new session",
        )
    status = started.status
    if status and status.ended_at:
        raise _ended(status)
    return _answer(wired, resolved, status)


def _ended(status: SessionStatus) -> EverlineError:
    reason = status.reason or "the session has ended"
    if status.end_reason is EndReason.ROOM_NAME_TAKEN:
        return RoomNameTaken(reason, field="roomName", cure="choose another roomName")
    return SessionEnded(f"the session ended at once: {reason}", retry_after=5)


def _answer(
    wired: Services, resolved: SessionInput, status: SessionStatus | None
) -> StartedSession:
    callers = wired.callers
    token = caller_token(
        callers.api_key,
        callers.api_secret,
        room=resolved.livekit_room,
        identity=resolved.caller_identity,
        ttl_seconds=callers.seconds,
    )
    return StartedSession(
        input=resolved,
        dispatched=status.agent_dispatched if status else False,
        joined=status.agent_joined if status else False,
        token=token,
        livekit_url=client_url(callers.livekit_url),
        http_status=200 if status else 202,
    )
