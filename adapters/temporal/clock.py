"""Temporal's clock, as its answers tell it."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime

from temporalio.service import RPCError
from typing_extensions import override

from adapters.temporal.probe import TemporalProbe
from domain.clocks import Clock, correction

FRESH_SECONDS = 60.0
"""How long a measurement is used."""
LONGEST_WAIT = 1.0
"""Seconds; a Temporal that is slow or away is no reason to wait for its time."""


class TemporalClock(Clock):
    """Unknown, and then taken to agree, with Temporal servers before 1.29, which do not tell it."""

    def __init__(self, probe: TemporalProbe) -> None:
        self._probe = probe

    async def now(self) -> datetime:
        """Temporal's time; this machine's if it is not known."""
        return datetime.fromtimestamp(time.time() + correction(await self.ahead()), UTC)

    @override
    async def ahead(self) -> float | None:
        if time.monotonic() - self._probe.measured_at >= FRESH_SECONDS:
            # Without an answer, the last measurement is used.
            with suppress(RPCError, RuntimeError, TimeoutError):
                async with asyncio.timeout(LONGEST_WAIT):
                    await self._probe.check()
        return self._probe.ahead
