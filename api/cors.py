"""Which web pages may call the API from a browser."""

from dataclasses import dataclass

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

LOCALHOST = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"
REQUEST_HEADERS = (
    *("content-type", "x-api-key", "x-org-id", "x-request-id"),
    *("idempotency-key", "if-match", "last-event-id"),
)
ANSWER_HEADERS = ("x-request-id", "retry-after", "etag", "location", "content-disposition")


class PagesCors(CORSMiddleware):
    """For every route but the codec endpoint, which is the Temporal UI's alone and answers itself.

    Asked first, this one would refuse the header `x-namespace` that the UI sends.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is not for it."""
        if scope["type"] == "http" and scope["path"].startswith("/codec/"):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


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
