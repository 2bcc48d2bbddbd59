"""Time limits and error mapping of calls to LiveKit."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from google.protobuf.message import DecodeError
from livekit.api import ServerError, ServerErrorCode

from adapters.http.clocks import HttpClock
from adapters.livekit.tokens import BACKDATED
from domain.clocks import CLOCK_CURE, described
from domain.errors import EverlineError, InvalidInput, Unavailable

REQUEST_SECONDS = 5.0
"""Time limit of one request; LiveKit itself abandons a missing room after 3 s."""

_REFUSED_INPUT = (
    ServerErrorCode.INVALID_ARGUMENT,
    ServerErrorCode.MALFORMED,
    ServerErrorCode.OUT_OF_RANGE,
    ServerErrorCode.FAILED_PRECONDITION,
    ServerErrorCode.ALREADY_EXISTS,
)
_NO_NODE = "could not find object"
"""LiveKit's message (an HTTP 500) if its map of rooms and nodes does not have the room."""
_REFUSED_TOKEN = (401, 403)
_TOKEN_LIFE = 6 * 3600.0
"""Seconds for which livekit-api's tokens are valid, from now on."""
_REFUSED_ROUTE = (ServerErrorCode.BAD_ROUTE, ServerErrorCode.UNIMPLEMENTED)


class LiveKitMisconfigured(EverlineError):
    """LiveKit refuses the credentials, or the URL is not LiveKit's: a retry cannot help."""

    code = "livekit_misconfigured"


class LiveKitHasNone(Exception):
    """LiveKit answered `not_found`: no such room, participant or dispatch. Internal to adapters."""


class LiveKitLostNode(Unavailable):
    """LiveKit lists the room but has lost the node that holds it."""


@asynccontextmanager
async def livekit_call(operation: str, url: str) -> AsyncGenerator[None]:
    """Limit the time of a request, and map livekit-api's errors to Everline's.

    `operation` is a verb phrase that reads after "LiveKit did not".

    Raises:
        Unavailable: LiveKit does not answer, is too slow or overloaded, or refuses our tokens
            because its clock differs.
        LiveKitLostNode: it does not know which node holds the room.
        LiveKitMisconfigured: URL, key or secret are wrong.
        InvalidInput: LiveKit refuses the request itself.
        LiveKitHasNone: `not_found`.
    """
    try:
        # livekit-api does not pass its timeout on to aiohttp, so a hanging LiveKit would block the
        # caller for ever.
        async with asyncio.timeout(REQUEST_SECONDS):
            yield
    except ServerError as error:
        if error.status in _REFUSED_TOKEN:
            await _require_fitting_clock(operation, url)
        raise _meaning(error, operation, url) from error
    except (aiohttp.InvalidURL, DecodeError, UnicodeError) as error:
        raise LiveKitMisconfigured(
            f"{url} does not answer like LiveKit (asked to {operation})",
            field="LIVEKIT_URL",
            cure="check LIVEKIT_URL",
        ) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        reason = str(error) or "no answer in time"
        raise Unavailable(f"LiveKit at {url} did not {operation}: {reason}") from error


async def _require_fitting_clock(operation: str, url: str) -> None:
    """Raise `Unavailable` if LiveKit's clock is a reason to refuse our tokens.

    Unlike a wrong key, it may be corrected at any moment.
    """
    ahead = await HttpClock(url).ahead()
    if ahead is not None and not -BACKDATED.total_seconds() <= ahead <= _TOKEN_LIFE:
        told = described("LiveKit", ahead)
        raise Unavailable(
            f"{told}, so LiveKit at {url} refused to {operation}", cure=CLOCK_CURE, retry_after=10
        )


def _meaning(error: ServerError, operation: str, url: str) -> Exception:
    if error.code == ServerErrorCode.NOT_FOUND:
        return LiveKitHasNone(error.message)
    # LiveKit answers 401 and 403 in plain text, before its Twirp layer: the code is `unknown`.
    if error.status in _REFUSED_TOKEN:
        return LiveKitMisconfigured(
            f"LiveKit at {url} refused to {operation}: key or secret are not valid there",
            field="LIVEKIT_API_KEY",
            cure="check LIVEKIT_API_KEY and LIVEKIT_API_SECRET",
        )
    if error.code in _REFUSED_ROUTE or error.status in (404, 405):
        return LiveKitMisconfigured(
            f"{url} does not know how to {operation} (HTTP {error.status})",
            field="LIVEKIT_URL",
            cure="check LIVEKIT_URL and the version of LiveKit",
        )
    if error.code in _REFUSED_INPUT:
        return InvalidInput(f"LiveKit refused to {operation}: {error.message}")
    what = f"{error.code} {error.message}".strip()
    kind = LiveKitLostNode if _NO_NODE in error.message else Unavailable
    return kind(f"LiveKit at {url} did not {operation}: {what} (HTTP {error.status})")
