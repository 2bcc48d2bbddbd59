"""Problem responses: one shape (RFC 9457) that names the field, the reason and the cure."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from domain.errors import (
    Conflict,
    EverlineError,
    Forbidden,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)

log = structlog.get_logger()

RETRY_AFTER_SECONDS = 2
"""Of a 503 whose cause named no time of its own."""

STATUS: Sequence[tuple[type[EverlineError], int]] = (
    (InvalidInput, 422),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (PreconditionFailed, 412),
    (Conflict, 409),
    (TooManyRequests, 429),
    (Unavailable, 503),
)


CURES = {
    "missing": "add the field",
    "extra_forbidden": "correct the field's name, or leave it out",
    "json_invalid": "send valid JSON with content-type application/json",
}
"""By pydantic's type of error; the others say themselves what they want."""


class Fault(BaseModel):
    """One thing that is wrong with the request."""

    field: str | None = None
    reason: str
    cure: str | None = None


class Problem(BaseModel):
    """The body of every error response, `application/problem+json`."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    """Stable name of the error, for programs."""
    detail: str
    errors: list[Fault] = []
    request_id: str | None = None


def respond(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> Any:
    """A problem as a response, with the request's id."""
    problem.request_id = getattr(request.state, "request_id", None)
    return JSONResponse(
        problem.model_dump(exclude_none=True),
        status_code=problem.status,
        headers=headers,
        media_type="application/problem+json",
    )


def status_of(error: EverlineError) -> int:
    """HTTP status of a domain error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def install(app: FastAPI) -> None:
    """Answer every error of the app in this shape."""
    app.add_exception_handler(EverlineError, _everline_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


async def _everline_error(request: Request, error: Exception) -> Any:
    if not isinstance(error, EverlineError):
        raise error
    status = status_of(error)
    headers = _retry_after(error)
    if status == 401:
        headers["WWW-Authenticate"] = "ApiKey"
    fault = Fault(field=error.field, reason=error.message, cure=error.cure)
    return respond(
        request,
        Problem(
            title=type(error).__name__,
            status=status,
            code=error.code,
            detail=error.message,
            errors=[fault] if error.field or error.cure else [],
        ),
        headers,
    )


def _retry_after(error: EverlineError) -> dict[str, str]:
    if not isinstance(error, Unavailable | TooManyRequests):
        return {}
    return {"Retry-After": str(error.retry_after or RETRY_AFTER_SECONDS)}


async def _validation_error(request: Request, error: Exception) -> Any:
    if not isinstance(error, RequestValidationError):
        raise error
    # The input itself is left out: it may be a secret or somebody's words.
    faults = [
        Fault(
            field=_field(item["loc"]),
            reason=str(item["msg"]).removeprefix("Value error, "),
            cure=CURES.get(item["type"]),
        )
        for item in error.errors()
    ]
    names = ", ".join(sorted({fault.field or "body" for fault in faults}))
    return respond(
        request,
        Problem(
            title="InvalidInput",
            status=422,
            code=InvalidInput.code,
            detail=f"the request is not valid: {names}",
            errors=faults,
        ),
    )


def _field(location: Sequence[Any]) -> str:
    parts = [str(part) for part in location if part not in ("body", "query", "path", "header")]
    return ".".join(parts) or "body"


async def _http_error(request: Request, error: Exception) -> Any:
    if not isinstance(error, HTTPException):
        raise error
    detail = str(error.detail)
    code = detail.lower().replace(" ", "_")
    problem = Problem(title=detail, status=error.status_code, code=code, detail=detail)
    return respond(request, problem, dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> Any:
    log.error("unexpected error", path=request.url.path, kind=type(error).__name__, exc_info=error)
    return respond(
        request,
        Problem(
            title="InternalError",
            status=500,
            code="internal_error",
            detail="something unexpected happened; the log has it under this request id",
        ),
    )
