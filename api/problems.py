"""Problem responses: one shape (RFC 9457) that names the field, the reason and the cure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from api.known_names import cure_of_unknown_name
from domain.errors import (
    Conflict,
    EverlineError,
    Forbidden,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    RequestTimeout,
    TooManyRequests,
    TooManyValues,
    Unauthenticated,
    Unavailable,
    Unreadable,
)
from domain.ids import ID_CURE, ID_PATTERN
from domain.suggestions import nearest

PROBLEM = "application/problem+json"
MAX_BODY_BYTES = 4 * 1024 * 1024
"""Twice the size limit of a report (`MAX_REPORT_BYTES` in `agent.report_size`)."""
REPORT_PATH = "/session/observability"
REPORT_CURE = (
    "leave out `events` and `options`, and shorten what tools answered; or send the turns in parts"
    " to /v1/sessions/{session_id}/turns and leave out `chat_history`; keep `close_reason`"
)
RETRY_AFTER_SECONDS = 2
"""Default of a 503 whose cause names no time."""

STATUS: Mapping[type, int] = {
    InvalidInput: 422,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    PreconditionFailed: 412,
    Conflict: 409,
    TooManyRequests: 429,
    RequestTimeout: 408,
    TooManyValues: 413,
    Unreadable: 500,
    Unavailable: 503,
}
"""HTTP status of each domain error and its subclasses, unless they have their own."""

STATUS_MEANING = {
    401: "The key, token or signature is missing or invalid.",
    403: "The credentials are expired, or not for this session, attempt, scope or org.",
    404: "It does not exist, or belongs to another org.",
    409: "The request conflicts with the current state; nothing was changed.",
    408: "The body did not come in time.",
    412: "`If-Match` names an older version; nothing was changed.",
    413: "The body is larger than 4 MiB, or has too many values.",
    422: "The request is malformed; `errors` names each field, the reason and the cure.",
    429: "Too many requests or open sessions; retry after `Retry-After` seconds.",
    500: "An unexpected error, or stored data that cannot be read; see the log.",
    503: "A dependency is unavailable; the same request may work after `Retry-After` seconds.",
}

MOST_FAULTS = 100
"""Errors that a response names."""
_OF_A_NAME = "[key]"
"""How pydantic ends the location of an invalid key."""

_JSON_CURE = "send valid JSON with the header Content-Type: application/json"
CURES = {
    "missing": "add the field",
    "json_invalid": _JSON_CURE,
    "string_type": "send text in quotes",
}
"""By pydantic's error type; the messages of other types say what is expected."""
_OBJECT = "must be a JSON object"
REASONS = {
    "extra_forbidden": "there is no such name here",
    "model_attributes_type": _OBJECT,
    "model_type": _OBJECT,
    "dict_type": _OBJECT,
    "list_type": "must be a JSON array",
}
"""By pydantic's error type, where its own message is about Python."""
_CHOICES = ("enum", "literal_error")
_CHOICE = re.compile(r"'([^']*)'")
_CAMEL_CASE = re.compile(r"\b(session|room|agent|user)(Id|Name|Config|Identity)\b")
"""Services use the older LiveKit backend's names; routes under `/v1` have their own."""


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


class ProblemResponse(Response):
    """A problem as a response, with the request's id; the request log gets the problem's code."""

    media_type = PROBLEM

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status_code=problem.status, headers=headers)
        self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the request's id is known only now."""
        state = scope.setdefault("state", {})
        state["outcome"] = self._problem.code
        self._problem.request_id = state.get("request_id")
        self.body = self._problem.model_dump_json(exclude_none=True).encode()
        self.headers["Content-Length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def install(app: FastAPI) -> None:
    """Answer every error of the app in this shape."""
    app.exception_handler(EverlineError)(answer)
    app.exception_handler(RequestValidationError)(_validation_error)
    app.exception_handler(HTTPException)(_http_error)


async def answer(request: Request, error: EverlineError) -> Response:
    """The response to a domain error."""
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    headers: dict[str, str] = {}
    if status in (429, 503):
        headers["Retry-After"] = str(error.retry_after or RETRY_AFTER_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = "ApiKey"
    fault = Fault(
        field=_in_names_of_route(request, error.field),
        reason=error.message,
        cure=_in_names_of_route(request, error.cure),
    )
    problem = Problem(
        title=type(error).__name__,
        status=status,
        code=error.code,
        detail=error.message,
        errors=[fault] if error.field or error.cure else [],
    )
    return ProblemResponse(problem, headers)


def _in_names_of_route(request: Request, text: str | None) -> str | None:
    if text is None or not request.url.path.startswith("/v1/"):
        return text
    return _CAMEL_CASE.sub(lambda name: f"{name[1]}_{name[2].lower()}", text)


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    # Its frames refer to it, and it to the whole body, which would stay until the next collection.
    error.__traceback__ = None
    # Leave out the input: it may contain secrets or transcript text.
    items: Sequence[Mapping[str, Any]] = error.errors()
    faults: list[Fault] = []
    if isinstance(error.body, bytes):
        # Not read, because of its content type: what is wrong inside is not known.
        items = [item for item in items if item["loc"][0] != "body"]
        faults.append(_unread_body(request))
    faults += (
        Fault(field=_field(item, error.body), reason=_reason(item), cure=_cure(request, item))
        for item in items[:MOST_FAULTS]
    )
    names = ", ".join(sorted({fault.field or "body" for fault in faults}))
    further = f" and {len(items) - MOST_FAULTS} more" if len(items) > MOST_FAULTS else ""
    detail = f"the request is not valid: {names}{further}"
    return ProblemResponse(
        Problem(
            title="InvalidInput", status=422, code=InvalidInput.code, detail=detail, errors=faults
        )
    )


def _unread_body(request: Request) -> Fault:
    given = request.headers.get("content-type")
    what = f"Content-Type {given[:100]!r}" if given else "no Content-Type"
    reason = f"the body was sent with {what}, so it was not read as JSON"
    return Fault(field="body", reason=reason, cure=_JSON_CURE)


def _cure(request: Request, item: Mapping[str, Any]) -> str | None:
    if item["type"] == "extra_forbidden":
        return cure_of_unknown_name(request, item["loc"])
    if cure := item.get("ctx", {}).get("cure"):
        return cure
    if item["type"] in _CHOICES and isinstance(item["input"], str):
        near = nearest(item["input"], _CHOICE.findall(item["ctx"]["expected"]))
        return near and f"did you mean {near!r}?"
    # A regular expression does not help people.
    if (
        item["type"] == "string_pattern_mismatch"
        and ID_PATTERN.strip("^$") in item["ctx"]["pattern"]
    ):
        return ID_CURE
    if tuple(item["loc"]) == ("body",):
        return _JSON_CURE
    return CURES.get(item["type"])


def _reason(item: Mapping[str, Any]) -> str:
    if item["type"] == "json_invalid":
        return f"no valid JSON, at character {item['loc'][-1]}: {item['ctx']['error']}"
    if tuple(item["loc"]) == ("body",) and item["type"] == "missing":
        return "the request has no body"
    return REASONS.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")


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


def content_too_large(path: str) -> Problem:
    """The problem of a body over the limit; for a report, with what to leave out of it."""
    detail = f"the body is larger than {MAX_BODY_BYTES} bytes"
    cure = REPORT_CURE if path == REPORT_PATH else "send less in one request"
    return Problem(
        title="ContentTooLarge",
        status=413,
        code="content_too_large",
        detail=detail,
        errors=[Fault(field="body", reason=detail, cure=cure)],
    )


async def _http_error(request: Request, error: HTTPException) -> Response:
    if isinstance(error.__cause__, EverlineError):
        # Raised while FastAPI read the body.
        return await answer(request, error.__cause__)
    if error.status_code == 400:
        # FastAPI's response to a body that is not text; report it like invalid JSON.
        fault = InvalidInput("the body cannot be read", field="body", cure=_JSON_CURE)
        return await answer(request, fault)
    if error.status_code == 413:
        return ProblemResponse(content_too_large(request.url.path))
    detail = str(error.detail)
    code = detail.lower().replace(" ", "_")
    problem = Problem(title=detail, status=error.status_code, code=code, detail=detail)
    headers = dict(error.headers or {})
    if error.status_code == 405 and (allowed := _allowed_methods(request)):
        headers["Allow"] = allowed
    return ProblemResponse(problem, headers)


def _allowed_methods(request: Request) -> str:
    """The methods of all routes of the path; the framework names only those of one route."""
    path = getattr(request.scope.get("route"), "path", "")
    described: dict[str, Any] = cast(FastAPI, request.app).openapi()["paths"].get(path, {})
    return ", ".join(sorted(method.upper() for method in described))
