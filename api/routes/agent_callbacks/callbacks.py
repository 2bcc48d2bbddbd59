"""Callbacks of agents and heartbeats of agent servers."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ValidationError

from adapters.livekit.signatures import HEARTBEAT, verify_body
from api.dependencies import AgentClaims, ApiDependencies, Deps, LiveKitSignature, signed_body
from api.problems import problems
from api.routes.agent_callbacks.reporters import check_attempt
from domain.agents.servers import Heartbeat, HeartbeatAnswer, LostJob
from domain.errors import InvalidInput, Unavailable
from domain.json_model import FROM_ANOTHER_VERSION
from domain.sessions.control import HEARTBEAT_PATH, HEARTBEAT_PATH_CHECK
from domain.sessions.messages import (
    EVENT_ID_CHARS,
    AgentFailed,
    AgentReady,
    ReadyAnswer,
    agent_lost,
)

router = APIRouter(tags=["agent callbacks"])

TELL_SECONDS = 2.0
"""How long a heartbeat waits for Temporal; the agent server resends lost jobs."""


class Accepted(BaseModel):
    """Whether the message reached its session in time."""

    accepted: bool


@router.post("/v1/agent/ready", responses=problems(409))
async def claim_attempt(claim: AgentReady, deps: Deps, claims: AgentClaims) -> ReadyAnswer:
    """Claim an attempt for an agent. 409 tells the agent to leave, 503 to try again."""
    check_attempt(claims.attempt, claim.attempt)
    answer = await deps.sessions.claim(claims.key, claim)
    if answer.accepted:
        deps.livekit_webhooks.expected(datetime.now(UTC))
    return answer


@router.post("/v1/agent/failed")
async def report_failed_start(failure: AgentFailed, deps: Deps, claims: AgentClaims) -> Accepted:
    """Report that an agent cannot start, and why."""
    check_attempt(claims.attempt, failure.attempt)
    # A job fails once, whatever event id the agent sends.
    event_id = f"failed:{failure.attempt}:{failure.job_id}"[:EVENT_ID_CHARS]
    failure = failure.model_copy(update={"event_id": event_id})
    deps.failures.count(claims.key, failure)
    return Accepted(accepted=await deps.sessions.signal(claims.key, failure))


async def _signed_body(request: Request, deps: Deps, signature: LiveKitSignature) -> bytes:
    body = await request.body()
    verify_body(deps.livekit_keys, signature or "", body, HEARTBEAT)
    return body


SignedBody = Annotated[bytes, Depends(_signed_body)]


@router.post(
    HEARTBEAT_PATH,
    openapi_extra=signed_body("application/json", {"$ref": "#/components/schemas/Heartbeat"}),
)
async def record_heartbeat(body: SignedBody, deps: Deps) -> HeartbeatAnswer:
    """Store an agent server's heartbeat, signed with LiveKit's key; after a 503, send it again."""
    try:
        beat = Heartbeat.model_validate_json(body, context=FROM_ANOTHER_VERSION)
    except ValidationError as error:
        raise InvalidInput(f"not a heartbeat: {error.error_count()} faults", field="body") from None
    # Concurrently: without Temporal the server must not look silent, and without MongoDB a lost
    # agent must still be replaced.
    stop, signalled = await asyncio.gather(
        deps.agent_servers.record(beat, datetime.now(UTC)),
        _tell_losses(deps, beat.lost),
        return_exceptions=True,
    )
    for result in (signalled, stop):
        if isinstance(result, BaseException):
            raise result
    return HeartbeatAnswer(accepted=True, stop=stop if isinstance(stop, list) else [])


@router.post(HEARTBEAT_PATH_CHECK, dependencies=[Depends(_signed_body)])
async def check_heartbeat_path(deps: Deps) -> Accepted:
    """Check whether a heartbeat could be stored now; signed like one, sent by the watchdog."""
    await deps.agent_servers.prove_path(datetime.now(UTC))
    return Accepted(accepted=True)


async def _tell_losses(deps: ApiDependencies, lost: Sequence[LostJob]) -> None:
    try:
        async with asyncio.timeout(TELL_SECONDS):
            for job in lost:
                if job.key and job.attempt:
                    message = agent_lost(
                        job.attempt, job.job_id, job.reason, unanswered=job.unanswered
                    )
                    await deps.sessions.signal(job.key, message)
    except TimeoutError:
        raise Unavailable("Temporal did not accept the lost jobs in time") from None
