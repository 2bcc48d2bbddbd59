"""Build the FastAPI application."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import APIRouter, FastAPI

from api import cors, docs_page, openapi, problems
from api.cors import Origins
from api.dependencies import ApiDependencies
from api.limits.bodies import Bodies
from api.middleware import (
    BodyLimit,
    LastResort,
    RequestLog,
    SecurityHeaders,
    SlicedBodies,
    TrailingSlash,
)
from api.routes import health, livekit, seed
from api.routes.access import keys
from api.routes.agent_callbacks import callbacks, questions
from api.routes.agents import agents, catalogs
from api.routes.recordings import recordings
from api.routes.sessions import control, event_stream, sessions
from api.routes.transcripts import retention, summaries, transcripts, turns
from api.routes.webhooks import deliveries, endpoints

SUMMARY = "Voice-agent sessions that cannot get lost: every call is one durable workflow."
DESCRIPTION = """\
Start a call with `POST /v1/sessions/start`; any LiveKit client joins with the URL and the token of
the answer. Follow it at `/v1/sessions/{session_id}/events`, end it, and read its transcript.

Clients send `x-api-key`. Resources of other orgs look as if they did not exist (404). Every
error has the same shape, `application/problem+json`: the field, the reason and the cure.
"""
LICENCE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}

NO_PAGE = Origins()
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    services: ApiDependencies,
    lifespan: Lifespan,
    extra: list[APIRouter],
    *,
    origins: Origins = NO_PAGE,
    development: bool = False,
) -> FastAPI:
    """The app with all its routes.

    Args:
        services: what the routes use.
        lifespan: opens adapters before the first request and closes them after the last.
        extra: further routers.
        origins: web pages that may call the API from a browser.
        development: whether a 500 response names the exception.
    """
    app = FastAPI(
        title="Everline",
        summary=SUMMARY,
        description=DESCRIPTION,
        version="0.1.0",
        license_info=LICENCE,
        openapi_tags=[{"name": name, "description": text} for name, text in openapi.TAGS.items()],
        servers=[{"url": "/", "description": "The API that serves this document."}],
        lifespan=lifespan,
        redirect_slashes=False,
        # Written once, by `openapi.install`.
        openapi_url=None,
        # Their own pages would be fetched from a CDN.
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.dependencies = services
    app.state.bodies = Bodies()
    problems.install(app)
    openapi.install(app)
    # The last one is the outermost: errors, too, get a request id and CORS headers.
    app.add_middleware(TrailingSlash)
    app.add_middleware(BodyLimit)
    app.add_middleware(LastResort, development=development)
    cors.install(app, origins)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestLog)
    app.add_middleware(SlicedBodies)
    routers = [
        health.router,
        seed.router,
        sessions.router,
        control.router,
        turns.router,
        transcripts.router,
        retention.router,
        recordings.router,
        event_stream.router,
        agents.router,
        keys.router,
        catalogs.router,
        callbacks.router,
        questions.router,
        summaries.router,
        # Before the endpoints, whose id parameter would match `deliveries`.
        deliveries.router,
        endpoints.router,
        livekit.router,
    ]
    for router in [*routers, *extra]:
        app.include_router(router)
    docs_page.install(app)
    return app
