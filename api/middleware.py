"""Middleware of every request: request id, size limit, one log event."""

import logging
import time
import uuid
from abc import ABC, abstractmethod
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import MAX_BODY_BYTES, Problem, ProblemResponse, content_too_large
from domain.sessions.control import HEARTBEAT_PATH

log = structlog.get_logger()

REQUEST_ID = "x-request-id"
QUIET_ROUTES = ("/health", "/health/agent", HEARTBEAT_PATH)
"""Polled every few seconds by machines: logged at debug level."""
CLIENT_GONE = 499
"""The usual status for a client that disconnected before its body was read."""


class HttpMiddleware(ABC):
    """Base of middlewares that only concern HTTP requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on whatever is not an HTTP request."""
        handle = self.handle if scope["type"] == "http" else self._app
        await handle(scope, receive, send)

    @abstractmethod
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""


class RequestLog(HttpMiddleware):
    """Adds a request id and logs one event per response, without body and query string."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""
        given = Headers(scope=scope).get(REQUEST_ID, "").encode("ascii", "ignore").decode()
        request_id = given if 0 < len(given) <= 100 and given.isprintable() else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 500
        begun = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await self._app(scope, receive, send_with_id)
        finally:
            route: str | None = getattr(scope.get("route"), "path", None)
            log.log(
                logging.DEBUG if route in QUIET_ROUTES else logging.INFO,
                "request",
                request_id=request_id,
                method=scope["method"],
                route=route or "unknown",
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


SECURITY_HEADERS = {
    # Answers hold customers' data: no browser and no proxy may keep or show them.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every response that has no value of its own."""


class SecurityHeaders(HttpMiddleware):
    """Tells browsers to trust a response with as little as possible."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


SLICE_BYTES = 64 * 1024


class SlicedBodies(HttpMiddleware):
    """Sends long bodies in slices: of a client that does not read, only one slice is buffered."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""

        async def send_in_slices(message: Message) -> None:
            body: bytes = message.get("body", b"")
            if message["type"] != "http.response.body" or len(body) <= SLICE_BYTES:
                await send(message)
                return
            for start in range(0, len(body), SLICE_BYTES):
                end = start + SLICE_BYTES
                more = end < len(body) or message.get("more_body", False)
                await send({**message, "body": body[start:end], "more_body": more})

        await self._app(scope, receive, send_in_slices)


class TrailingSlash(HttpMiddleware):
    """Treats `/agents/` as `/agents`, as the older LiveKit backend does.

    Behind a proxy, the framework's redirect would name the wrong scheme (http).
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""
        scope["path"] = scope["path"].rstrip("/") or "/"
        await self._app(scope, receive, send)


class LastResort(HttpMiddleware):
    """Answers unexpected exceptions with a 500 problem, which names them only in development."""

    def __init__(self, app: ASGIApp, *, development: bool) -> None:
        super().__init__(app)
        self._development = development

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""
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
            log.error(
                "unexpected error",
                path=scope["path"],
                kind=type(error).__name__,
                request_id=scope["state"]["request_id"],
                exc_info=error,
            )
            if answered:
                # Too late for another answer; the server closes the connection.
                raise
            detail = "an unexpected error; the log has the details under this request id"
            if self._development:
                detail = f"{type(error).__name__}: {error}"
            problem = Problem(
                title="InternalError", status=500, code="internal_error", detail=detail
            )
            await ProblemResponse(problem)(scope, receive, send)


class BodyLimit(RequestBodyLimitMiddleware):
    """Answers 413 to bodies that are too large, with or without content-length."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, MAX_BODY_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a declared length as a problem; the framework would answer it in plain text."""
        declared = Headers(scope=scope).get("content-length", "") if "headers" in scope else ""
        if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
            await ProblemResponse(content_too_large(scope["path"]))(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
