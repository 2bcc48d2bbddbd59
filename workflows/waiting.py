"""Waiting for a condition or a time, in code that a cancel of the workflow must not break."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow


async def until(
    condition: Callable[[], bool], seconds: float | None = None, what: str | None = None
) -> bool:
    """Wait until a condition is true, and return whether it is.

    Args:
        condition: what to wait for.
        seconds: the longest wait; None for as long as it takes. 0 or less does not wait at all.
        what: the name of the timer in Temporal's UI.
    """
    if seconds is not None and seconds <= 0:
        return condition()
    try:
        await workflow.wait_condition(condition, timeout=seconds, timeout_summary=what)
    except TimeoutError:
        return False
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # This task was not cancelled. The SDK may raise a cancel of the workflow from any wait (and
        # will do so by default in a later release); the workflow's run method handles it.
        return condition()
    return True


def retrieve_exception(step: "asyncio.Future[Any]") -> None:
    """Read a step's exception once it is done, or asyncio would warn.

    For steps that nobody may await in the end: they are cancelled, or their worker stops.
    """
    step.add_done_callback(lambda done: done.cancelled() or done.exception())


async def pause(seconds: float, what: str) -> None:
    """Wait for some seconds; `what` is the name of the timer in Temporal's UI."""
    await until(lambda: False, seconds, what)


def passed(at: datetime | None) -> bool:
    """Whether a time has passed; None never has."""
    return at is not None and workflow.now() >= at


def seconds_to(*times: datetime | None) -> float | None:
    """Seconds until the first of these times; None if there is none."""
    soonest = min((at for at in times if at), default=None)
    return (soonest - workflow.now()).total_seconds() if soonest else None


class SharedTimers:
    """Time limits of waits, with as few of Temporal's timers as possible.

    A timer is not cancelled when its wait is over: the next wait uses it if it fires in time, and
    starts another one only for what is left then.
    """

    def __init__(self) -> None:
        self._pending: dict[datetime, asyncio.Task[None]] = {}

    async def until(
        self, condition: Callable[[], bool], seconds: float | None = None, what: str = "a deadline"
    ) -> bool:
        """Wait as the function `until` does."""
        if seconds is None:
            return await until(condition)
        deadline = workflow.now() + timedelta(seconds=seconds)
        while not condition():
            if workflow.now() >= deadline:
                return False
            timer = self._timer(deadline, what)
            await until(lambda fired=timer.done: fired() or condition())
        return True

    def _timer(self, deadline: datetime, what: str) -> asyncio.Task[None]:
        """The last pending timer that fires in time, or a new one."""
        self._pending = {at: timer for at, timer in self._pending.items() if not timer.done()}
        in_time = [at for at in self._pending if at <= deadline]
        if in_time:
            return self._pending[max(in_time)]
        timer = asyncio.create_task(pause((deadline - workflow.now()).total_seconds(), what))
        self._pending[deadline] = timer
        return timer
