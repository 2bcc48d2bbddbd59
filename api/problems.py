"""Problem responses: one shape (RFC 9457) that names the field, the reason and the cure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Scope

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
    Unreadable,
)
from domain.ids import ID_CURE, ID_PATTERN

log = structlog.get_logger()

RETRY_AFTER_SECONDS = 2
"""Default of a 503 whose cause names no time."""

STATUS: Sequence[tuple[type[EverlineError], int]] = (
    (InvalidInput, 422),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (PreconditionFailed, 412),
    (Conflict, 409),
    (TooManyRequests, 429),
    (Unreadable, 500),
    (Unavailable, 503),
)


STATUS_MEANING = {
    401: "No key, token or signature, or not a valid one.",
    403: "Valid, but expired, or not for this session, attempt, scope or org.",
    404: "It does not exist, or belongs to another org.",
    409: "It contradicts what exists; nothing was changed.",
    412: "`If-Match` names an older version; nothing was changed.",
    413: "The body is larger than 4 MiB.",
    422: "The request is malformed; `errors` names each field, the reason and the cure.",
    429: "Too fast, or too many open sessions; come back after `Retry-After` seconds.",
    500: "Something unexpected happened, or what is stored cannot be read; the log has it.",
    503: "Something outside is away; the same request may work after `Retry-After` seconds.",
}

_OF_A_NAME = "[key]"
"""How pydantic ends the location of an invalid key."""

CURES = {
    "missing": "add the field",
    "extra_forbidden": "correct the field's name, or leave it out",
    "json_invalid": "send valid JSON with content-type application/json",
}
"""By pydantic's error type; the messages of the others say what is expected."""
_V1_NAMES = {
    "sessionId": "session_id",
    "roomName": "room_name",
    "agentId": "agent_id",
    "agentConfig": "agent_config",
}
"""Services use the seed service's names; routes under `/v1` have their own."""
_NO_JSON = ("missing", "model_attributes_type")
"""Errors of a whole body that is missing, or was not read because of its content type."""


class Fault(BaseModel):
    """One error in the request."""

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


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A route's `responses` for errors that `api.openapi` does not derive."""
    return {status: {"description": STATUS_MEANING[status]} for status in statuses}


def respond(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> Any:
    """A problem as a response, with the request's id."""
    return response_of(problem, request.scope, headers)


def response_of(
    problem: Problem, scope: Scope, headers: dict[str, str] | None = None
) -> JSONResponse:
    """As `respond`, from the scope alone; the request log gets the problem's code."""
    problem.request_id = request_id_of(scope)
    scope.setdefault("state", {})["outcome"] = problem.code
    return JSONResponse(
        problem.model_dump(exclude_none=True),
        status_code=problem.status,
        headers=headers,
        media_type="application/problem+json",
    )


def request_id_of(scope: Scope) -> str | None:
    """The id that `api.middleware.RequestLog` gave the request."""
    return scope.get("state", {}).get("request_id")


def status_of(error: EverlineError) -> int:
    """HTTP status of a domain error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def install(app: FastAPI) -> None:
    """Answer every error of the app in this shape."""
    app.add_exception_handler(EverlineError, _everline_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


async def _everline_error(request: Request, error: Exception) -> Any:
    if not isinstance(error, EverlineError):
        raise error
    return answer(request, error)


def answer(request: Request, error: EverlineError) -> Any:
    """The response to a domain error."""
    status = status_of(error)
    headers = _retry_after(error)
    if status == 401:
        headers["WWW-Authenticate"] = "ApiKey"
    fault = Fault(
        field=_in_words_of(request, error.field),
        reason=error.message,
        cure=_in_words_of(request, error.cure),
    )
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


def _in_words_of(request: Request, text: str | None) -> str | None:
    if text is None or not request.url.path.startswith("/v1/"):
        return text
    return re.sub(rf"\b({'|'.join(_V1_NAMES)})\b", lambda name: _V1_NAMES[name[0]], text)


def _retry_after(error: EverlineError) -> dict[str, str]:
    if not isinstance(error, Unavailable | TooManyRequests) or isinstance(error, Unreadable):
        return {}
    return {"Retry-After": str(error.retry_after or RETRY_AFTER_SECONDS)}


async def _validation_error(request: Request, error: Exception) -> Any:
    if not isinstance(error, RequestValidationError):
        raise error
    # Leave out the input: it may contain secrets or transcript text.
    faults = [
        Fault(
            field=_field(item, error.body),
            reason=_reason(item),
            cure=_cure(item),
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


def _cure(item: Mapping[str, Any]) -> str | None:
    # A regular expression does not help people.
    if (
        item["type"] == "string_pattern_mismatch"
        and ID_PATTERN.strip("^$") in item["ctx"]["pattern"]
    ):
        return ID_CURE
    if tuple(item["loc"]) == ("body",) and item["type"] in _NO_JSON:
        return CURES["json_invalid"]
    return CURES.get(item["type"])


def _reason(item: Mapping[str, Any]) -> str:
    if item["type"] == "json_invalid":
        return f"no valid JSON, at character {item['loc'][-1]}: {item['ctx']['error']}"
    return str(item["msg"]).removeprefix("Value error, ")


def _field(item: Mapping[str, Any], body: Any) -> str:
    if item["type"] == "json_invalid":
        return "body"  # its location is a position in the text
    part_of_request, *inside = item["loc"]
    if part_of_request == "body":
        inside = list(_places(inside, body, missing=item["type"] == "missing"))
    return ".".join(map(str, inside)) or "body"


def _places(location: Sequence[str | int], body: Any, *, missing: bool) -> Iterator[str | int]:
    """The parts of a location that are in the body, or `missing` from it.

    Pydantic inserts the names of union alternatives, which are not part of the body.
    """
    here = body
    for number, part in enumerate(location, start=1):
        is_last = number == len(location)
        if _is_in(part, here):
            here = here[part]
            yield part
        elif part == _OF_A_NAME or (missing and is_last):
            yield part


def _is_in(part: str | int, here: Any) -> bool:
    if isinstance(here, list):
        return isinstance(part, int) and part < len(cast(list[Any], here))
    return isinstance(here, Mapping) and part in here


async def _http_error(request: Request, error: Exception) -> Any:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 400:
        # FastAPI's response to a body that is not text; report it like invalid JSON.
        fault = InvalidInput("the body cannot be read", field="body", cure=CURES["json_invalid"])
        return answer(request, fault)
    detail = str(error.detail)
    code = detail.lower().replace(" ", "_")
    problem = Problem(title=detail, status=error.status_code, code=code, detail=detail)
    headers = dict(error.headers or {})
    allowed = _allowed_methods(request) if error.status_code == 405 else None
    if allowed:
        headers["Allow"] = allowed
    return respond(request, problem, headers)


def _allowed_methods(request: Request) -> str:
    """The methods of all routes of the path; the framework names only those of one route."""
    path = getattr(request.scope.get("route"), "path", "")
    described: dict[str, Any] = cast(FastAPI, request.app).openapi()["paths"].get(path, {})
    return ", ".join(sorted(method.upper() for method in described))


def unexpected(scope: Scope, error: Exception, *, development: bool) -> Problem:
    """An unexpected error: logged in full, but shown to the client only in development."""
    detail = "something unexpected happened; the log has it under this request id"
    if development:
        detail = f"{type(error).__name__}: {error}"
    log.error(
        "unexpected error",
        path=scope["path"],
        kind=type(error).__name__,
        request_id=request_id_of(scope),
        exc_info=error,
    )
    return Problem(title="InternalError", status=500, code="internal_error", detail=detail)
