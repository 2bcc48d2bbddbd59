"""How much Temporal stores of a call, and what Temporal Cloud would bill for it."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio.client import WorkflowHistory

from bench.actions import billable_actions
from domain.agents.places import PlaceState
from domain.sessions.end_reasons import ReportEnd
from tests.fakes.agents import Plays
from tests.workflows.calls import Call, Studio
from tests.workflows.scenes import beside_the_others

EVENTS = 90
BYTES = 24 * 1024
ACTIONS = 28
"""Without those of the summary's own workflow."""
CALLS = 3


async def _live(studio: Studio) -> Call:
    """A call whose caller connects while the agent is joining, as a client does."""
    call = await studio.call(Plays(appears=1.0), place=PlaceState.RESERVED).start()
    await call.until("dispatched", lambda status: status.agent_dispatched)
    await call.caller_joins()
    await call.until("both are there", lambda status: status.waiting_for == "call_end")
    return call


async def _check(studio: Studio, end: Callable[[Call], Awaitable[object]]) -> None:
    """Several calls: on a busy machine a step may take longer, which adds events."""

    async def place() -> WorkflowHistory:
        call = await _live(studio)
        await end(call)
        return (await call.closed()).history

    histories = await asyncio.gather(*(place() for _ in range(CALLS)))
    events = min((history.events for history in histories), key=len)
    assert len(events) <= EVENTS, [event.WhichOneof("attributes") for event in events]
    assert sum(event.ByteSize() for event in events) <= BYTES
    actions = min(map(billable_actions, histories), key=lambda found: found.total())
    assert actions.total() <= ACTIONS, actions


@beside_the_others
async def test_a_call_that_is_ended_on_request(studio: Studio) -> None:
    await _check(studio, lambda call: call.end())


@beside_the_others
async def test_a_call_that_its_agent_ends(studio: Studio) -> None:
    await _check(studio, lambda call: call.crew.report(1, ReportEnd.AGENT_ENDED))
