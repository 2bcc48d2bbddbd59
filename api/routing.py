"""Routes that check credentials before they read the body.

FastAPI reads and parses a body before it calls any dependency, so that anybody could fill the
memory without a key.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from typing_extensions import override

from api.limits.bodies import JsonRequest

Check = Callable[[Request], Awaitable[object]]
Dependency = TypeVar("Dependency", bound=Callable[..., Any])

_CHECKS: dict[Callable[..., Any], Check] = {}


def after(check: Check) -> Callable[[Dependency], Dependency]:
    """Mark a dependency: routes that have it make this check before they read the body.

    The check raises what the dependency would raise.
    """

    def mark(dependency: Dependency) -> Dependency:
        _CHECKS[dependency] = check
        return dependency

    return mark


class CheckedRoute(APIRoute):
    """A route that makes the checks of its dependencies first, and reads its body within limits."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, which finds the body already read."""
        handle = super().get_route_handler()
        checks = list(dict.fromkeys(_checks_of(self.dependant)))
        has_body = self.body_field is not None or bool(checks)

        async def handle_checked(request: Request) -> Response:
            for check in checks:
                await check(request)
            if not has_body:
                return await handle(request)
            request = JsonRequest(request.scope, request.receive)
            async with request.app.state.bodies.read(request):
                return await handle(request)

        return handle_checked


class Router(APIRouter):
    """A router of such routes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=CheckedRoute, **options)


def _checks_of(dependant: Dependant) -> Iterator[Check]:
    check = _CHECKS.get(dependant.call) if dependant.call else None
    if check:
        yield check
    for each in dependant.dependencies:
        yield from _checks_of(each)
