"""The FastAPI application, from its services."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI

from api import problems
from api.dependencies import Services
from api.middleware import BodyLimit, RequestLog
from api.routes import (
    agent_callbacks,
    agents,
    config,
    events,
    health,
    keys,
    livekit,
    operators,
    session,
    turns,
    v1_sessions,
)

DESCRIPTION = "Voice-agent sessions that cannot get lost: every call is one durable workflow."

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "model": problems.Problem,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }
    for status in (401, 403, 404, 409, 413, 422, 429, 503)
}


def create_app(services: Services, lifespan: Lifespan, extra: list[APIRouter]) -> FastAPI:
    """The app with all its routes."""
    app = FastAPI(title="Everline", description=DESCRIPTION, version="0.1.0", lifespan=lifespan)
    app.state.services = services
    problems.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(RequestLog)
    routers = [
        health.router,
        session.router,
        v1_sessions.router,
        operators.router,
        turns.router,
        events.router,
        agents.router,
        keys.router,
        config.router,
        agent_callbacks.router,
        livekit.router,
    ]
    for router in routers:
        app.include_router(router, responses=ERRORS)
    for router in extra:
        app.include_router(router)
    return app
