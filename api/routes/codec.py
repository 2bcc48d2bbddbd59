"""The codec endpoint: lets the Temporal UI show what only Everline's keys can read."""

import hmac
from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from temporalio.converter import PayloadCodec

from adapters.temporal.encryption import decode_payloads, encode_payloads
from api.problems import answer
from api.routing import Router
from domain.errors import EverlineError, NotFound

Convert = Callable[[PayloadCodec, bytes], Awaitable[bytes]]


def codec_router(codec: PayloadCodec, secret: str, ui_url: str | None) -> Router:
    """Routes under `/codec/{secret}`; the UI sends no API key, so the path itself is the secret."""
    router = Router(include_in_schema=False)
    cors = {
        "Access-Control-Allow-Origin": ui_url or "null",
        "Access-Control-Allow-Headers": "content-type, x-namespace, authorization",
        "Access-Control-Allow-Methods": "POST, OPTIONS",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Private-Network": "true",
    }

    def converter(how: Convert) -> Callable[[str, Request], Awaitable[Response]]:
        async def convert(given: str, request: Request) -> Response:
            if not hmac.compare_digest(given.encode(), secret.encode()):
                raise NotFound("Not Found")
            try:
                body = await how(codec, await request.body())
            except EverlineError as error:
                # The UI could not read the reason without these headers.
                refusal = await answer(request, error)
                refusal.headers.update(cors)
                return refusal
            return Response(body, media_type="application/json", headers=cors)

        return convert

    router.post("/codec/{given}/decode")(converter(decode_payloads))
    router.post("/codec/{given}/encode")(converter(encode_payloads))

    @router.options("/codec/{given}/{operation}")
    async def preflight(given: str, operation: str) -> Response:  # pyright: ignore[reportUnusedFunction]  # registered by its decorator
        return Response(headers=cors)

    return router
