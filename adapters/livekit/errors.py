"""Calls to LiveKit: bounded, and what their failures mean: away, refused for good, or not there."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from google.protobuf.message import DecodeError
from livekit.api import ServerError, ServerErrorCode

from domain.errors import EverlineError, InvalidInput, Unavailable

REQUEST_SECONDS = 5.0
"""Time limit of one request; LiveKit itself gives up on a missing room after 3 s."""

_REFUSED_INPUT = (
    ServerErrorCode.INVALID_ARGUMENT,
    ServerErrorCode.MALFORMED,
    ServerErrorCode.OUT_OF_RANGE,
    ServerErrorCode.FAILED_PRECONDITION,
    ServerErrorCode.ALREADY_EXISTS,
)
_NO_NODE = "could not find object"
"""How LiveKit says that its map of rooms and nodes has no such room (as an HTTP 500)."""
_REFUSED_ROUTE = (ServerErrorCode.BAD_ROUTE, ServerErrorCode.UNIMPLEMENTED)


class LiveKitMisconfigured(EverlineError):
    """LiveKit refuses us, or is not what is at the URL: retrying without a change is useless."""

    code = "livekit_misconfigured"


class LiveKitHasNone(Exception):
    """LiveKit says `not_found`: no such room, participant or dispatch; no caller gets to see it."""


class LiveKitLostNode(Unavailable):
    """LiveKit lists the room and has forgotten which of its nodes holds it."""


@asynccontextmanager
async def livekit_call(operation: str, url: str) -> AsyncGenerator[None]:
    """Bound one request, and turn what livekit-api raises into Everline's errors.

    Args:
        operation: what is done, as it reads after "LiveKit did not".
        url: the URL that is asked, for the message.

    Raises:
        Unavailable: LiveKit is away, too slow or overloaded.
        LiveKitLostNode: it does not know where the room is.
        LiveKitMisconfigured: URL, key or secret are wrong.
        InvalidInput: LiveKit refuses the request itself.
        LiveKitHasNone: `not_found`.
    """
    try:
        # livekit-api passes no timeout on, which for aiohttp means none: a LiveKit that hangs
        # would hold the caller for ever, whatever the client's own setting says.
        async with asyncio.timeout(REQUEST_SECONDS):
            yield
    except ServerError as error:
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


def _meaning(error: ServerError, operation: str, url: str) -> Exception:
    if error.code == ServerErrorCode.NOT_FOUND:
        return LiveKitHasNone(error.message)
    # Before its Twirp layer LiveKit answers 401 and 403 in plain text, so the code is `unknown`.
    if error.status in (401, 403):
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
