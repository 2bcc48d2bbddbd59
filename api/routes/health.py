"""Health of the API, and of everything that a call needs."""

import time
from datetime import UTC, datetime
from typing import Literal

from fastapi import Response
from pydantic import BaseModel

from api.dependencies import Deps
from api.routing import Router
from domain.agents.servers import AgentServer
from services.agents.health import AgentHealth, AgentHealthCheck

router = Router(tags=["health"])

STARTED = time.monotonic()


class Health(BaseModel):
    """The process is up."""

    status: Literal["ok"] = "ok"
    uptime_seconds: float


# Uptime checks send HEAD, which FastAPI does not derive from GET.
@router.head("/health", include_in_schema=False)
@router.get("/health")
async def get_health() -> Health:
    """Check whether the process is up."""
    return Health(uptime_seconds=round(time.monotonic() - STARTED, 3))


@router.get(
    "/health/agent",
    responses={
        503: {
            "model": AgentHealth,
            "description": "A call would get no agent now.",
            "x-not-a-problem": True,
        }
    },
)
async def get_agent_health(deps: Deps, response: Response) -> AgentHealth:
    """Check that LiveKit, workers and agent servers of the right name are available; else 503."""
    check = AgentHealthCheck(
        deps.agent_servers,
        deps.rooms,
        deps.sessions,
        deps.livekit_webhooks,
        deps.installation,
        deps.agent_name,
        deps.admission,
        deps.clocks,
        deps.refused_clocks,
    )
    health = await check.check(datetime.now(UTC))
    response.status_code = 200 if health.status == "ok" else 503
    # This route needs no key, so it must not tell which tenants' calls run where.
    health.servers = [_without_ids(server) for server in health.servers]
    return health


def _without_ids(server: AgentServer) -> AgentServer:
    hidden = {"org": None, "session_id": None, "attempt": None, "caller": None}
    return server.model_copy(
        update={"jobs": [job.model_copy(update=hidden) for job in server.jobs]}
    )
