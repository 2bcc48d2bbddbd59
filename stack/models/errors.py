"""Errors in the form that OpenAI's clients understand."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


class ApiProblem(Exception):
    """An error to return to the client.

    Args:
        status: HTTP status.
        message: What is wrong and how to fix it.
        param: The request field at fault, if any.
        code: A stable code for programs.
        retry_after: Seconds after which to try again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        kind = "server_error" if status >= 500 else "invalid_request_error"
        error = {"message": message, "type": kind, "param": param, "code": code}
        headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
        self.response = JSONResponse({"error": error}, status_code=status, headers=headers)


def bad_field(param: str, message: str, code: str = "invalid_value") -> ApiProblem:
    """A 400 that names the field at fault and how to fix it."""
    return ApiProblem(HTTPStatus.BAD_REQUEST, f"{param}: {message}", param=param, code=code)


def still_loading() -> ApiProblem:
    """A 503 for requests that arrive before the models are loaded."""
    return ApiProblem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the models are still loading; try again in a second",
        code="loading",
        retry_after=1,
    )


async def _respond(_: Request, error: Exception) -> JSONResponse:
    match error:
        case ApiProblem():
            return error.response
        case RequestValidationError():
            first = error.errors()[0]
            # The first part only says where the field is (body, query …).
            path = ".".join(map(str, first["loc"][1:]))
            return bad_field(path or "body", str(first["msg"])).response
        case HTTPException():
            return ApiProblem(error.status_code, str(error.detail)).response
        case _:
            # The server logs the traceback; the message may quote what was said.
            return ApiProblem(HTTPStatus.INTERNAL_SERVER_ERROR, type(error).__name__).response


def install_error_handlers(app: FastAPI) -> None:
    """Return every error of `app`, including the framework's, in OpenAI's form."""
    for kind in (ApiProblem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _respond)
