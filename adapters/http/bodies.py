"""Bodies of answers, read no further than anybody needs."""

import httpx


class AnswerTooLong(Exception):
    """There is more of it than an honest server would send."""


async def body_of(response: httpx.Response, most: int) -> bytes:
    """The body of a streamed answer, unpacked.

    Args:
        response: of `AsyncClient.stream`.
        most: bytes that it may have, unpacked.

    Raises:
        AnswerTooLong: it has more; the rest was not read.
        httpx.HTTPError: the connection failed.
    """
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most:
            raise AnswerTooLong
    return bytes(body)
