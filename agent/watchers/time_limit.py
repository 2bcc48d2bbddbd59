"""The warning before the maximum duration. Everline ends the call itself, whatever happens here."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from domain.agents.call_policy import DurationWarning

log = structlog.stdlib.get_logger(__name__)

_TOLERANCE = 1.0
"""Seconds by which the clocks of agent and workflow may differ without another wait."""


class TimeWarning:
    """Warns the caller once, by calling `speak`.

    `ask_remaining` gives the seconds that are left now, because a call can be extended; None if
    unknown.
    """

    def __init__(
        self,
        warning: DurationWarning,
        *,
        speak: Callable[[], object],
        ask_remaining: Callable[[], Awaitable[float | None]],
    ) -> None:
        self._before = warning.seconds_before
        self._speak = speak
        self._ask_remaining = ask_remaining
        self._task: asyncio.Task[None] | None = None

    def start(self, remaining: float) -> None:
        """Begin to wait, with `remaining` seconds left in the call.

        If less time is left than the warning needs, the agent before this one has given it.
        """
        if remaining <= self._before:
            log.info("no_time_to_warn", remaining=remaining)
            return
        self._task = asyncio.create_task(self._warn_in_time(remaining), name="time_warning")

    def stop(self) -> None:
        """Stop waiting."""
        if self._task is not None:
            self._task.cancel()

    async def _warn_in_time(self, remaining: float) -> None:
        while (wait := remaining - self._before) > 0:
            await asyncio.sleep(wait)
            now_left = await self._ask_remaining()
            if now_left is None or now_left <= self._before + _TOLERANCE:
                break
            log.info("call_was_extended", remaining=now_left)
            remaining = now_left
        log.info("time_warning")
        self._speak()
