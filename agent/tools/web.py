"""Tools' requests to customers' servers: limited in time and size; the model gets the failures."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import structlog
from livekit.agents import llm

from adapters.http.outbound import ForbiddenAddress

log = structlog.stdlib.get_logger(__name__)


ALLOW_PRIVATE = "EVERLINE_ALLOW_PRIVATE_TOOL_URLS"


class ToolFailure(llm.ToolError):
    """A failed request: a sentence for the model, and its `outcome` for the log."""

    def __init__(self, message: str, outcome: str) -> None:
        super().__init__(message)
        self.outcome = outcome


@asynccontextmanager
async def tool_request(tool: str, seconds: float, **fields: str) -> AsyncGenerator[dict[str, Any]]:
    """Limit a request to `seconds`, and log it; the block sets the line's `outcome` if it succeeds.

    Raises:
        livekit.agents.llm.ToolError: it took too long.
    """
    begun = time.monotonic()
    line: dict[str, Any] = {**fields, "tool": tool, "outcome": "cancelled"}
    try:
        async with asyncio.timeout(seconds):
            yield line
    except TimeoutError as error:
        line["outcome"] = "timeout"
        raise llm.ToolError(f"{tool} did not answer within {seconds:g} seconds") from error
    except llm.ToolError as error:
        line["outcome"] = error.outcome if isinstance(error, ToolFailure) else "tool error"
        raise
    finally:
        log.info("tool_request", **line, seconds=round(time.monotonic() - begun, 3))


async def answer_to(
    web: httpx.AsyncClient, request: httpx.Request, *, tool: str, seconds: float, max_bytes: int
) -> str:
    """The text of the answer, cut at `max_bytes`.

    Raises:
        livekit.agents.llm.ToolError: why there is none, for the model to continue with.
    """
    async with tool_request(tool, seconds) as line:
        try:
            response = await web.send(request, stream=True)
            try:
                line["outcome"] = str(response.status_code)
                text = await _text(response, max_bytes)
            finally:
                await response.aclose()
        except ForbiddenAddress as error:
            line["cure"] = error.cure_with(ALLOW_PRIVATE)
            raise ToolFailure(f"{tool} cannot be used: {error}", "forbidden") from error
        except httpx.HTTPError as error:
            raise ToolFailure(f"{tool} could not be reached", type(error).__name__) from error
    if response.is_success:
        return text or "Done."
    raise llm.ToolError(f"{tool} answered with status {response.status_code}: {text}")


async def _text(response: httpx.Response, max_bytes: int) -> str:
    received = bytearray()
    async for chunk in response.aiter_bytes():
        received += chunk
        if len(received) > max_bytes:
            break
    try:
        text = received[:max_bytes].decode(response.encoding or "utf-8", "replace")
    except (LookupError, UnicodeError):
        # Python also has codecs that are not for text (base64, rot13), and strict ones (idna).
        text = received[:max_bytes].decode("utf-8", "replace")
    return f"{text} … [cut after {max_bytes} bytes]" if len(received) > max_bytes else text
