"""Middleware of every request: request id, size limit, one log event."""

import logging
import time
import uuid
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, response_of, unexpected
from domain.sessions.control import HEARTBEAT_PATH

log = structlog.get_logger()

REQUEST_ID = "x-request-id"
QUIET_ROUTES = ("/health", "/health/agent", HEARTBEAT_PATH)
"""Polled every few seconds by machines: logged at debug level."""
CLIENT_GONE = 499
"""The usual status for a client that disconnected before its body was read."""
MAX_BODY_BYTES = 4 * 1024 * 1024
"""Twice the size limit of a report (`MAX_REPORT_BYTES` in `agent.report_size`)."""


class RequestLog:
    """Adds a request id and logs one event per response, without body and query string."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(REQUEST_ID.encode(), b"").decode("ascii", "ignore")
        request_id = given if 0 < len(given) <= 100 and given.isprintable() else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 500
        begun = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (REQUEST_ID.encode(), request_id.encode()),
                ]
            await send(message)

        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await self._app(scope, receive, send_with_id)
        finally:
            route = scope.get("route")
            quiet = getattr(route, "path", None) in QUIET_ROUTES
            log.log(
                logging.DEBUG if quiet else logging.INFO,
                "request",
                request_id=request_id,
                method=scope["method"],
                route=getattr(route, "path", None) or "unknown",
                status=status,
                outcome=state.get("outcome", "ok" if status < 400 else "error"),
                org=state.get("org"),
                session=_session(scope),
                milliseconds=round((time.perf_counter() - begun) * 1000, 1),
            )


def _session(scope: Scope) -> str | None:
    """The session of the request, from its path or from the agent's token."""
    parameters: dict[str, Any] = scope.get("path_params") or {}
    named = parameters.get("session_id") or parameters.get("sessionId")
    return named or scope["state"].get("session")


class TrailingSlash:
    """Treats `/agents/` as `/agents`, as the seed service does.

    Behind a proxy, the framework's redirect would name the wrong scheme (http).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            scope["path"] = scope["path"].rstrip("/") or "/"
        await self._app(scope, receive, send)


class LastResort:
    """Answers unexpected exceptions with a 500 problem."""

    def __init__(self, app: ASGIApp, *, development: bool) -> None:
        self._app = app
        self._development = development

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = False

        async def watched(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            # The client is gone: the status is only for the log.
            scope["state"]["outcome"] = "client_gone"
            await Response(status_code=CLIENT_GONE)(scope, receive, send)
        except Exception as error:  # whatever it is, it is logged and answered
            problem = unexpected(scope, error, development=self._development)
            if answered:
                # Too late for another answer; the server closes the connection.
                raise
            await response_of(problem, scope)(scope, receive, send)


class BodyLimit:
    """Answers 413 to bodies that are too large, with or without content-length."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limit:
            await self._refuse(scope, receive, send)
            return
        read = 0
        answered = False

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise _TooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal answered
            if read > self._limit and not answered:
                # FastAPI would answer the exception as an invalid body.
                raise _TooLarge
            answered = True
            await send(message)

        try:
            await self._app(scope, limited, watched)
        except _TooLarge:
            if answered:
                raise
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = Problem(
            title="ContentTooLarge",
            status=413,
            code="content_too_large",
            detail=f"the body is larger than {self._limit} bytes",
        )
        await response_of(problem, scope)(scope, receive, send)


class _TooLarge(Exception):
    pass
