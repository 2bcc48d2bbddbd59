"""One request to a customer's URL, limited in time and size; failures are told in a sentence."""

import asyncio
import time

import httpx
import structlog
from livekit.agents import llm

from adapters.http.outbound import ForbiddenAddress

log = structlog.stdlib.get_logger(__name__)


async def answer_to(
    web: httpx.AsyncClient, request: httpx.Request, *, tool: str, seconds: float, max_bytes: int
) -> str:
    """The text of the answer, cut at `max_bytes`.

    Raises:
        livekit.agents.llm.ToolError: why there is none, for the model to continue with.
    """
    begun = time.monotonic()
    outcome = "cancelled"
    try:
        async with asyncio.timeout(seconds):
            response = await web.send(request, stream=True)
            try:
                outcome = str(response.status_code)
                text = await _text(response, max_bytes)
            finally:
                await response.aclose()
    except ForbiddenAddress as error:
        outcome = "forbidden"
        raise llm.ToolError(f"{tool} cannot be used: {error}") from error
    except TimeoutError as error:
        outcome = "timeout"
        raise llm.ToolError(f"{tool} did not answer within {seconds:g} seconds") from error
    except httpx.HTTPError as error:
        outcome = type(error).__name__
        raise llm.ToolError(f"{tool} could not be reached") from error
    finally:
        took = round(time.monotonic() - begun, 3)
        log.info("tool_request", tool=tool, outcome=outcome, seconds=took)
    if response.is_success:
        return text or "Done."
    raise llm.ToolError(f"{tool} answered with status {response.status_code}: {text}")


async def _text(response: httpx.Response, max_bytes: int) -> str:
    received = bytearray()
    async for chunk in response.aiter_bytes():
        received += chunk
        if len(received) > max_bytes:
            cut = _decoded(received[:max_bytes], response.encoding)
            return f"{cut} … [cut after {max_bytes} bytes]"
    return _decoded(received, response.encoding)


def _decoded(received: bytearray, charset: str | None) -> str:
    try:
        return received.decode(charset or "utf-8", "replace")
    except (LookupError, UnicodeError):
        # Python also has codecs that are not for text (base64, rot13), and strict ones (idna).
        return received.decode("utf-8", "replace")
