"""The clocks of HTTP servers, by the `Date` header of their answers."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx
import structlog
from typing_extensions import override

from domain.clocks import CLOCK_CURE, Clock, described, differs

log = structlog.get_logger()

FRESH_SECONDS = 30.0
"""How long a measurement is used."""
WATCH_SECONDS = 60.0
_TIMEOUT = httpx.Timeout(1.0)
_HALF = 0.5
"""The header has whole seconds, rounded down."""


def date_of(response: httpx.Response) -> float | None:
    """When a response was sent by its server's clock, Unix time; None without a valid header."""
    return unix_time(response.headers.get("date", ""))


def unix_time(date: str) -> float | None:
    """The Unix time of a `Date` header; None if it is not valid."""
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC).timestamp() + _HALF


def ahead_by(response: httpx.Response, now: float) -> float | None:
    """Seconds by which the server's clock is ahead; `now` is the Unix time of the response."""
    sent = date_of(response)
    return None if sent is None else sent - now


class HttpClock(Clock):
    """Asks a server for its time when it has to be known.

    `now` is this machine's Unix time.
    """

    def __init__(self, url: str, now: Callable[[], float] = time.time) -> None:
        self._url = url
        self._now = now
        self._ahead: float | None = None
        self._measured_at = float("-inf")
        self._lock = asyncio.Lock()

    @override
    async def ahead(self) -> float | None:
        async with self._lock:
            if time.monotonic() - self._measured_at >= FRESH_SECONDS:
                self._ahead = await self._measure()
                self._measured_at = time.monotonic()
        return self._ahead

    async def _measure(self) -> float | None:
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
                # Any answer has a time, also a refusal.
                return ahead_by(await client.get(self._url), self._now())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.debug("clock not measured", url=self._url, reason=type(error).__name__)
            return None


@asynccontextmanager
async def watched_clocks(clocks: Mapping[str, Clock]) -> AsyncGenerator[None]:
    """During the block, log whenever the clock of one of these servers begins to differ."""
    watch = asyncio.create_task(_watch(clocks))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def _watch(clocks: Mapping[str, Clock]) -> None:
    differing: set[str] = set()
    while True:
        for whose, clock in clocks.items():
            ahead = await clock.ahead()
            if ahead is None:
                continue
            if differs(ahead) and whose not in differing:
                differing.add(whose)
                log.warning("clock differs", reason=described(whose, ahead), cure=CLOCK_CURE)
            elif not differs(ahead) and whose in differing:
                differing.discard(whose)
                log.info("clock agrees again", server=whose)
        await asyncio.sleep(WATCH_SECONDS)
