"""Waiting for a condition or a time, in code that a cancel of the workflow must not break."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from temporalio import workflow


async def until(
    condition: Callable[[], bool], seconds: float | None = None, what: str | None = None
) -> bool:
    """Wait for a condition; False if the time was over, or a cancel was reported, first.

    Args:
        condition: what has to become true.
        seconds: the bound; None for as long as it takes.
        what: the timer's name for operators.
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
        # Nobody cancelled this task: the SDK may report a cancel of the workflow at the end of any
        # wait (and will do so by default one day). The run method takes it in, for all of us.
        return condition()
    return True


async def pause(seconds: float, what: str) -> None:
    """Wait for some seconds; `what` is the timer's name for operators."""
    await until(lambda: False, seconds, what)


def passed(at: datetime | None) -> bool:
    """Whether a time has passed; None never has."""
    return at is not None and workflow.now() >= at


def seconds_to(*times: datetime | None) -> float | None:
    """How long it is until the first of these; None if there is none."""
    soonest = min((at for at in times if at), default=None)
    return (soonest - workflow.now()).total_seconds() if soonest else None
