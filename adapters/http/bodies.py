"""Response bodies with a size limit."""

import httpx


class AnswerTooLong(Exception):
    """The body is longer than its limit."""


async def body_of(response: httpx.Response, most: int) -> bytes:
    """The decompressed body of a streamed response.

    If it has more than `most` bytes, raises `AnswerTooLong` without reading the rest.
    """
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most:
            raise AnswerTooLong
    return bytes(body)
