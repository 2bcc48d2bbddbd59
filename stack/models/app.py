"""The models server: routes, start and shutdown."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from stack.models import chat, speech, transcription
from stack.models.errors import install_error_handlers
from stack.models.loading import Models, load, models_of
from stack.models.reply import CHAT_MODEL
from stack.models.settings import ModelsSettings

_log = logging.getLogger("everline.models")


def create_app(settings: ModelsSettings, on_load_failure: Callable[[], None]) -> FastAPI:
    """Create the application, which loads its models when the server starts.

    A failure to load is logged, then `on_load_failure` is called.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        loading = asyncio.create_task(_load_into(app, settings, on_load_failure))
        yield
        loading.cancel()
        if app.state.models is not None:
            app.state.models.close()

    app = FastAPI(title="Everline models", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.models = None
    app.state.started = int(time.time())
    install_error_handlers(app)
    app.add_api_route("/health", health)
    app.add_api_route("/v1/models", list_models)
    app.add_api_route("/v1/models/{name:path}", get_model)
    for module in (chat, speech, transcription):
        app.include_router(module.router)
    return app


async def _load_into(
    app: FastAPI, settings: ModelsSettings, on_failure: Callable[[], None]
) -> None:
    try:
        app.state.models = await load(settings)
    except Exception as error:  # noqa: BLE001 - log any failure and end
        _log.critical("the models cannot be loaded: %s", error, exc_info=_log.isEnabledFor(10))
        on_failure()


async def health(request: Request) -> JSONResponse:
    """200 once every model is loaded, 503 before."""
    if request.app.state.models is None:
        return JSONResponse({"status": "loading"}, status_code=503, headers={"Retry-After": "1"})
    return JSONResponse({"status": "ok", "models": _names(request.app.state.models)})


async def list_models(request: Request) -> dict[str, object]:
    """List the models, which serve requests for any name."""
    names = _names(models_of(request))
    created: int = request.app.state.started
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": created, "owned_by": kind}
            for kind, name in names.items()
        ],
    }


async def get_model(name: str, request: Request) -> dict[str, object]:
    """Return a model of any name, because the same models serve them all."""
    created: int = request.app.state.started
    return {"id": name, "object": "model", "created": created, "owned_by": "everline"}


def _names(models: Models) -> dict[str, str]:
    return {
        "transcriptions": models.transcriber.model.name,
        "speech": models.voice.model.name,
        "chat": CHAT_MODEL,
    }
