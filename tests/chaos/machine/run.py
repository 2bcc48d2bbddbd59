"""One run: callers call and faults strike until the time is over; then everything must settle."""

import asyncio
import copy
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from domain.ids import SessionKey
from tests.chaos.machine.callers import Callers
from tests.chaos.machine.checker import judge
from tests.chaos.machine.faults import BreakWire, DisturbWebhooks, Freeze, FreezeJob
from tests.chaos.machine.links import linked
from tests.chaos.machine.nemesis import Nemesis, Say
from tests.chaos.machine.outside import Operator
from tests.chaos.machine.plan import Plan
from tests.chaos.machine.recoveries import Recoveries
from tests.chaos.machine.report import Report
from tests.harness.ledger import Ledger
from tests.harness.rig import ORG, Rig
from tests.harness.rooms import watch_for_crowds
from tests.redis import RedisServer

SETTLE_SECONDS = 120.0
"""How long everything may take to end once nothing is broken any more."""
STRANGER = "stranger"


class KnownSessions(dict[str, SessionKey]):
    """Sessions by their ids; one whose start was not answered is of the callers' org as well."""

    def __missing__(self, session_id: str) -> SessionKey:
        return SessionKey(ORG, session_id)


async def run(
    rig: Rig, plan: Plan, command: str, say: Say, redis: RedisServer | None = None
) -> Report:
    """Carry out a plan on a running stack; the stack is whole again afterwards.

    Args:
        rig: the stack.
        plan: what happens.
        command: how the run is repeated.
        say: is told about each fault as it is injected.
        redis: where LiveKit keeps its lists, if not in memory.
    """
    async with _own_ledger(rig) as own, linked(rig) as links:
        assert rig.stack.urls.livekit is not None
        stranger = await own.other_org(STRANGER)
        callers = Callers(own.client, rig.stack.urls.livekit, f"chaos-{uuid.uuid4().hex[:8]}")
        operator, recoveries = Operator(own.histories), Recoveries(own.client)
        nemesis = Nemesis(own, links, callers, operator, recoveries, redis, say)
        watch = asyncio.create_task(watch_for_crowds(own.rooms, own.ledger))
        began = time.monotonic()
        try:
            try:
                await _act(plan, callers, nemesis, began)
                say(f"every call is over after {time.monotonic() - began:.0f} s")
            finally:
                await nemesis.finish()
            say(f"everything runs again after {time.monotonic() - began:.0f} s")
            outcomes = await _settle(callers)
            say(f"{outcomes.total()} sessions have ended after {time.monotonic() - began:.0f} s")
            found = await judge(own, stranger, callers, operator, _longest(plan))
        finally:
            watch.cancel()
            await stranger.aclose()
            await own.client.aclose()
    return Report(
        command=command,
        seconds=plan.seconds,
        injected=nemesis.injected,
        missed=nemesis.missed,
        outcomes=outcomes,
        refused=Counter(callers.refused),
        answers=sum(log.answers for log in callers.logs.values()),
        recoveries=recoveries.seconds,
        violations=[*callers.violations, *recoveries.violations, *found],
    )


@asynccontextmanager
async def _own_ledger(rig: Rig) -> AsyncGenerator[Rig]:
    """The rig with a ledger of its own, which the proxy writes to meanwhile.

    What is done to these sessions from outside is no matter of the other tests on this stack.
    """
    proxy = rig.proxy
    before = proxy.ledger, proxy.acknowledged
    own = copy.copy(rig)
    own.ledger, own.clients = Ledger(secrets=set(rig.ledger.secrets)), []
    own.client = own.client_with(rig.stack.api_key, ORG)
    proxy.ledger, proxy.acknowledged = own.ledger, []
    # Stays: a report may come after the run.
    proxy.keys = KnownSessions(proxy.keys)
    try:
        yield own
    finally:
        proxy.ledger, proxy.acknowledged = before


async def _act(plan: Plan, callers: Callers, nemesis: Nemesis, began: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(nemesis.run(plan.steps, began, plan.seconds))
        for arrival in plan.arrivals:
            await asyncio.sleep(max(began + arrival.at - time.monotonic(), 0))
            tasks.create_task(callers.call(arrival))


async def _settle(callers: Callers) -> Counter[str]:
    """Wait until every session is closed and has no room; returns how they ended."""
    deadline = time.monotonic() + SETTLE_SECONDS
    ended = await asyncio.gather(*(callers.watch(key, deadline) for key in callers.logs))
    return Counter(str(one.outcome) if one and one.outcome else "not ended" for one in ended)


def _longest(plan: Plan) -> timedelta:
    """The longest time in which a fault may hide what happens in a room."""
    hiding = (BreakWire, DisturbWebhooks, Freeze, FreezeJob)
    times = [step.fault.seconds for step in plan.steps if isinstance(step.fault, hiding)]
    return timedelta(seconds=max(times, default=0))
