"""The models server: routes, start and shutdown."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from stack.models import chat, speech, transcription
from stack.models.errors import install_error_handlers
from stack.models.loading import LoadedModels, Models, load
from stack.models.settings import ModelsSettings

_log = logging.getLogger("everline.models")


def create_app(settings: ModelsSettings, on_load_failure: Callable[[], None]) -> FastAPI:
    """Create the application, which loads its models when the server starts.

    A failure to load is logged, then `on_load_failure` is called.
    """

    async def load_models() -> None:
        try:
            app.state.models = await load(settings)
        except Exception as error:  # noqa: BLE001 - log any failure and end
            _log.critical("the models cannot be loaded: %s", error, exc_info=_log.isEnabledFor(10))
            on_load_failure()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        loading = asyncio.create_task(load_models())
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


async def health(request: Request) -> JSONResponse:
    """200 once every model is loaded, 503 before."""
    models: Models | None = request.app.state.models
    if models is None:
        return JSONResponse({"status": "loading"}, status_code=503, headers={"Retry-After": "1"})
    return JSONResponse({"status": "ok", "models": _names(models)})


async def list_models(request: Request, models: LoadedModels) -> dict[str, object]:
    """List the models, which serve requests for any name."""
    data = [_describe(request, name, kind) for kind, name in _names(models).items()]
    return {"object": "list", "data": data}


async def get_model(name: str, request: Request) -> dict[str, object]:
    """Return a model of any name, because the same models serve them all."""
    return _describe(request, name, "everline")


def _describe(request: Request, name: str, owner: str) -> dict[str, object]:
    created: int = request.app.state.started
    return {"id": name, "object": "model", "created": created, "owned_by": owner}


def _names(models: Models) -> dict[str, str]:
    return {
        "transcriptions": models.transcriber.model.name,
        "speech": models.voice.model.name,
        "chat": chat.CHAT_MODEL,
    }
