"""Which web pages may call the API from a browser."""

from dataclasses import dataclass

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

LOCALHOST = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"
REQUEST_HEADERS = (
    *("content-type", "x-api-key", "x-org-id", "x-request-id"),
    *("idempotency-key", "if-match", "last-event-id"),
)
ANSWER_HEADERS = ("x-request-id", "retry-after", "etag", "location", "content-disposition")


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
        CORSMiddleware,
        allow_origins=origins.listed,
        allow_origin_regex=LOCALHOST if origins.localhost else None,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=REQUEST_HEADERS,
        expose_headers=ANSWER_HEADERS,
        max_age=600,
    )
