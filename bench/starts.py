"""How long a client waits until its start is accepted."""

import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bench.bare import TASK_QUEUE, Trivial
from bench.series import Comparison, Series
from bench.stand import Stand, settle

Result = TypeVar("Result")


async def measure_starts(stand: Stand, rounds: int, step: Callable[[], None]) -> Comparison:
    """Compare two variants of `POST /session` with a bare Temporal start."""
    bare = Series("Temporal start_workflow, trivial workflow", "ms")
    accepted = Series("POST /session?wait=accepted", "ms")
    dispatched = Series("POST /session (agent dispatched)", "ms")
    for _ in range(rounds):
        await settle()
        await timed(bare, _bare_start(stand))
        for series, stage in ((accepted, "accepted"), (dispatched, "dispatched")):
            await settle()
            session = await timed(series, stand.start(stage))
            await stand.end(session)
        step()
    return Comparison(
        "start accepted, measured by the client",
        bare,
        [accepted, dispatched],
        ["before each start, the previous session has ended and its agent's process was replaced"],
    )


async def timed(series: Series, call: Awaitable[Result]) -> Result:
    """Await a call and record how many milliseconds it took."""
    begun = time.perf_counter()
    result = await call
    series.add((time.perf_counter() - begun) * 1000)
    return result


async def _bare_start(stand: Stand) -> None:
    await stand.temporal.start_workflow(
        Trivial.run, {"any": "input"}, id=f"bench/{uuid.uuid4().hex}", task_queue=TASK_QUEUE
    )
