"""Errors in the shape that OpenAI's clients understand."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


class ApiProblem(Exception):
    """Something a client gets to see.

    Args:
        status: HTTP status.
        message: What is wrong and what cures it.
        param: The request field at fault, if one is.
        code: A stable word for programs.
        retry_after: Seconds after which another try makes sense.
    """

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after

    def response(self) -> JSONResponse:
        """The problem as OpenAI's `{"error": {message, type, param, code}}`."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        body = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after is not None else None
        return JSONResponse({"error": body}, status_code=self.status, headers=headers)


def bad_field(param: str, message: str, code: str = "invalid_value") -> ApiProblem:
    """A 400 that names the field at fault and the cure."""
    return ApiProblem(HTTPStatus.BAD_REQUEST, f"{param}: {message}", param=param, code=code)


def still_loading() -> ApiProblem:
    """A 503 for requests that arrive before the models are loaded."""
    return ApiProblem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the models are still loading; try again in a second",
        code="loading",
        retry_after=1,
    )


def _from_validation(error: RequestValidationError) -> ApiProblem:
    first = error.errors()[0]
    # The first part only says where it was found (body, query …).
    path = ".".join(str(part) for part in first["loc"][1:])
    return bad_field(path or "body", str(first["msg"]))


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of `app`, also those of the framework, come out in OpenAI's shape."""

    async def on_problem(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiProblem)
        return error.response()

    async def on_invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return _from_validation(error).response()

    async def on_http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return ApiProblem(HTTPStatus(error.status_code), str(error.detail)).response()

    async def on_bug(_: Request, error: Exception) -> JSONResponse:
        # The server logs the traceback; what was said stays out of the answer.
        problem = ApiProblem(HTTPStatus.INTERNAL_SERVER_ERROR, type(error).__name__)
        return problem.response()

    app.add_exception_handler(ApiProblem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_bug)
