"""Requests of agents during a call, with their callback token."""

from typing import Annotated

from fastapi import Path

from api.dependencies import AgentClaims, Deps, agents_of
from api.problems import problems
from api.routing import Router
from domain.errors import Forbidden
from domain.ids import ID_PATTERN
from domain.sessions.dispatch_metadata import DispatchMetadata, agent_metadata
from domain.sessions.messages import TimeLeft
from domain.sessions.session import SessionState
from services.agents.configuration import resolve
from services.agents.hand_offs import hand_off_target

router = Router(prefix="/v1/agent", tags=["agent callbacks"])

ManagedAgentId = Annotated[
    str, Path(pattern=ID_PATTERN, description="The id of a saved agent in `managed_agents`.")
]


@router.get("/managed-agents/{agent_id}", response_model_exclude_none=True, responses=problems(404))
async def get_managed_agent(
    agent_id: ManagedAgentId, deps: Deps, claims: AgentClaims
) -> DispatchMetadata:
    """Get a saved agent that the session can be handed over to, with its secrets."""
    if (await deps.sessions.status(claims.key)).state is SessionState.CLOSED:
        raise Forbidden("the session is closed", field="Authorization")
    agents, started = agents_of(deps), await deps.sessions.input(claims.key)
    saved = await hand_off_target(agents, claims.org, started.config, agent_id)
    resolved = resolve(saved, None, deps.catalog)
    return agent_metadata(resolved.config, claims.session_id)


@router.get("/time-left", responses=problems(404))
async def get_time_left(deps: Deps, claims: AgentClaims) -> TimeLeft:
    """Get how long the call may still last, including extensions."""
    status = await deps.sessions.status(claims.key)
    return TimeLeft(remaining=status.seconds_left(await deps.sessions.now()))
