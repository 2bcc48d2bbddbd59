"""CORS: which web pages may call the API from a browser."""

from dataclasses import dataclass

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.problems import Fault, Problem, ProblemResponse

LOCALHOST = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"
REQUEST_HEADERS = (
    *("content-type", "x-api-key", "x-org-id", "x-request-id"),
    *("idempotency-key", "if-match", "last-event-id"),
)
ANSWER_HEADERS = ("x-request-id", "retry-after", "etag", "location", "content-disposition")
_REFUSED = {
    "origin": Fault(
        field="Origin",
        reason="pages of this origin may not call the API",
        cure="add it to EVERLINE_CORS_ORIGINS",
    ),
    "method": Fault(
        field="Access-Control-Request-Method", reason="pages may not send requests of this method"
    ),
    "headers": Fault(
        field="Access-Control-Request-Headers",
        reason="pages may not send all of these headers",
        cure=f"send only {', '.join(REQUEST_HEADERS)}",
    ),
    "private-network": Fault(
        field="Access-Control-Request-Private-Network",
        reason="pages of a public network may not call an API in a private one",
    ),
}
"""By the framework's name of the failed check."""


class PagesCors(CORSMiddleware):
    """CORS for all routes except the codec endpoint, which has its own headers.

    This middleware would refuse the header `x-namespace` that the Temporal UI sends.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Bypass CORS for the codec endpoint."""
        if scope["type"] == "http" and scope["path"].startswith("/codec/"):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """As the framework's, but a refusal is a problem response."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        wrong = bytes(response.body).decode().removeprefix("Disallowed CORS ").split(", ")
        faults = [_REFUSED[each] for each in wrong]
        detail = "; ".join(fault.reason for fault in faults)
        problem = Problem(
            title="Forbidden", status=403, code="cors_refused", detail=detail, errors=faults
        )
        del response.headers["content-length"], response.headers["content-type"]
        return ProblemResponse(problem, response.headers)


@dataclass(frozen=True)
class Origins:
    """Origins of web pages, exactly as browsers send them.

    Attributes:
        listed: these, or `*` for every page.
        localhost: also every page from this machine, on any port.
    """

    listed: tuple[str, ...] = ()
    localhost: bool = False


def install(app: FastAPI, origins: Origins) -> None:
    """Let pages of these origins call the API. Keys travel in a header, so no cookie is allowed."""
    app.add_middleware(
        PagesCors,
        allow_origins=origins.listed,
        allow_origin_regex=LOCALHOST if origins.localhost else None,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=REQUEST_HEADERS,
        expose_headers=ANSWER_HEADERS,
        max_age=600,
    )
