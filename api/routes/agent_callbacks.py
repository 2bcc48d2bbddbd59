"""Callbacks of agents and heartbeats of agent servers."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, ValidationError

from adapters.livekit_signatures import HEARTBEAT, verify_body
from api.dependencies import Wired
from api.reports import AgentClaims, check_attempt
from domain.agent_servers import Heartbeat
from domain.control import HEARTBEAT_PATH
from domain.errors import InvalidInput
from domain.messages import AgentFailed, AgentReady, ReadyAnswer

router = APIRouter(tags=["agent callbacks"])


class Accepted(BaseModel):
    """The message reached its session, or came too late to matter."""

    accepted: bool


@router.post("/v1/agent/ready")
async def ready(claim: AgentReady, wired: Wired, claims: AgentClaims) -> ReadyAnswer:
    """An agent claims its attempt; 409 tells it to leave, 503 to ask again."""
    check_attempt(claims.attempt, claim.attempt)
    return await wired.workflows.claim(claims.key, claim)


@router.post("/v1/agent/failed")
async def failed(failure: AgentFailed, wired: Wired, claims: AgentClaims) -> Accepted:
    """An agent says that it cannot start, and why."""
    check_attempt(claims.attempt, failure.attempt)
    return Accepted(accepted=await wired.workflows.signal(claims.key, failure))


@router.post(HEARTBEAT_PATH)
async def heartbeat(request: Request, wired: Wired) -> Accepted:
    """An agent server's sign of life, signed with LiveKit's key."""
    body = await request.body()
    verify_body(wired.livekit_keys, request.headers.get("authorization", ""), body, HEARTBEAT)
    try:
        beat = Heartbeat.model_validate_json(body)
    except ValidationError as error:
        raise InvalidInput(f"not a heartbeat: {error.error_count()} faults", field="body") from None
    await wired.agent_servers.record(beat, datetime.now(UTC))
    return Accepted(accepted=True)
