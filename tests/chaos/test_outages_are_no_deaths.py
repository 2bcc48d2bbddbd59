"""Parts of the way that heartbeats take are away for 10 s: that replaces no healthy agent."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from domain.sessions.session import Outcome
from services.agents.health import AgentHealth
from tests.harness.call import Call
from tests.harness.rig import Rig
from tests.waiting import eventually

OUTAGE_SECONDS = 10.0
"""More than a silent server is given (6 s), and the second in which that is noticed."""
WATCHED_AFTERWARDS = timedelta(seconds=7)
"""More than a silent server is given; so long the heartbeats are seen to come."""
Outage = Callable[[Rig, str], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def frozen(rig: Rig, part: str) -> AsyncGenerator[None]:
    """Stop a part's process, with its connections open."""
    pid = rig.stack.kill(part, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def gone(rig: Rig, part: str) -> AsyncGenerator[None]:
    """End a part, and start it again."""
    await rig.stack.stop_part(part)
    try:
        yield
    finally:
        await rig.stack.start_part(part)


async def test_no_agent_is_replaced_because_others_are_away(rig: Rig) -> None:
    async with rig.call(limits={"max_duration": 600, "caller_return": 60}) as call:
        await call.type("A table for two, please.", expect="table for two")
        await outlive(rig, (frozen, "api"))
        await outlive(rig, (gone, "mongodb"), (frozen, "worker"))
        await the_same_agent(rig, call)


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_no_agent_is_replaced_whatever_is_away(rig: Rig) -> None:
    # The caller is silent for longer than the agent would let pass.
    patient = {"silence": {"enabled": False}}
    async with rig.call(
        agent_config=patient, limits={"max_duration": 900, "caller_return": 60}
    ) as call:
        await call.type("A table for two, please.", expect="table for two")
        for part in ("api", "mongodb", "worker", "temporal"):
            for outage in (frozen, gone):
                await outlive(rig, (outage, part))
        await outlive(rig, (frozen, "api"), (frozen, "mongodb"), (frozen, "worker"))
        await outlive(rig, (gone, "worker"), (gone, "api"), (gone, "mongodb"))
        await the_same_agent(rig, call)


async def outlive(rig: Rig, *outages: tuple[Outage, str]) -> None:
    """Have parts away at once, and wait until agent servers were heard for a while again."""
    async with AsyncExitStack() as away:
        for outage, part in outages:
            await away.enter_async_context(outage(rig, part))
        await asyncio.sleep(OUTAGE_SECONDS)
    await heard_until(rig, datetime.now(UTC) + WATCHED_AFTERWARDS)


async def heard_until(rig: Rig, then: datetime) -> None:
    """Wait until the agent server was heard after some time."""

    async def heard() -> bool:
        try:
            answer = await rig.client.http.get("/health/agent")
        except httpx.TransportError:
            return False
        if answer.status_code != 200:
            return False
        servers = AgentHealth.model_validate(answer.json()).servers
        return any(server.last_heartbeat > then for server in servers)

    await eventually(heard, 60, "the agent server is heard again")


async def the_same_agent(rig: Rig, call: Call) -> None:
    """The first agent still talks, and the call ends well."""
    answer = await call.type("My name is Carl.", expect="Carl", also="table for two")
    assert "table for two" in answer
    await rig.client.end(call.session_id)
    closed = await rig.client.closed(call.session_id)
    assert (closed.dispatches, closed.joins, closed.attempt) == (1, 1, 1), closed.timeline
    assert closed.outcome is Outcome.COMPLETED
