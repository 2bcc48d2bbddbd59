"""Errors in the form that OpenAI's clients understand."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


class ApiProblem(Exception):
    """An error to return to the client.

    Args:
        status: HTTP status; a 503 also asks the client to try again after a second.
        message: What is wrong and how to fix it.
        param: The request field at fault, if any.
        code: A stable code for programs.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        kind = "server_error" if status >= 500 else "invalid_request_error"
        error = {"message": message, "type": kind, "param": param, "code": code}
        headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
        self.response = JSONResponse({"error": error}, status_code=status, headers=headers)


def bad_field(param: str, message: str, status: int = HTTPStatus.BAD_REQUEST) -> ApiProblem:
    """An error that names the field at fault and how to fix it."""
    return ApiProblem(status, f"{param}: {message}", param=param, code="invalid_value")


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
