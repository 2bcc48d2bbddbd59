"""The API's app for tests: its routes, which take half a second to build, are built once."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from copy import copy
from functools import cache
from typing import cast

from fastapi import FastAPI
from starlette.datastructures import State

from api.app import create_app
from api.dependencies import ApiDependencies
from api.limits.bodies import Bodies


def app_with(deps: ApiDependencies) -> FastAPI:
    """The API on these dependencies; everything but the routes is its own."""
    app = copy(_built())
    app.state = State({"dependencies": deps, "bodies": Bodies()})
    app.middleware_stack = None
    return app


@cache
def _built() -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield

    return create_app(cast(ApiDependencies, None), lifespan, [])
