"""Carries out the faults of a plan, one after the other, and undoes each after its time."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import psutil

from domain.ids import SessionKey
from domain.sessions.session import SessionStatus
from stack.errors import StackError
from tests.chaos.machine.callers import Callers
from tests.chaos.machine.faults import (
    BreakWire,
    DisturbWebhooks,
    Fault,
    Flood,
    Freeze,
    FreezeJob,
    FromOutside,
    FullDisk,
    Kill,
    KillJob,
    KillRedis,
    LoseLists,
    Part,
    RepeatCallbacks,
    Restart,
)
from tests.chaos.machine.links import Links
from tests.chaos.machine.outside import Operator
from tests.chaos.machine.plan import Step
from tests.chaos.machine.processes import NoFiles, resume, running, suspend, with_children
from tests.chaos.machine.recoveries import Recoveries
from tests.harness.callback_proxy import REPORT_PATH, Acknowledged
from tests.harness.rig import Rig
from tests.redis import RedisServer

Undo = Callable[[], Awaitable[None]]
Say = Callable[[str], None]


async def _nothing() -> None:
    """For faults that need no undoing."""


@dataclass
class Nemesis:
    """Whoever breaks things."""

    rig: Rig
    links: Links
    callers: Callers
    operator: Operator
    recoveries: Recoveries
    redis: RedisServer | None
    say: Say
    injected: Counter[str] = field(default_factory=Counter[str])
    missed: Counter[str] = field(default_factory=Counter[str])
    """Faults without a target: for instance, no call was open."""
    _undoing: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def run(self, steps: Sequence[Step], began: float, seconds: float) -> None:
        """Inject the faults in their order, each at its time or as soon after it as possible."""
        for number, step in enumerate(steps, 1):
            await asyncio.sleep(max(began + step.at - time.monotonic(), 0))
            elapsed = time.monotonic() - began
            if elapsed > seconds:
                return  # earlier faults took longer than planned
            undo = await self._inject(step.fault)
            note = "" if undo else " (no target)"
            self.say(f"{elapsed:6.1f} s  fault {number}: {step.fault}{note}")
            (self.injected if undo else self.missed)[step.fault.kind] += 1
            if undo is not None:
                task = asyncio.create_task(self._undo(step.fault, undo))
                self._undoing.add(task)
                task.add_done_callback(self._undoing.discard)

    async def finish(self) -> None:
        """Wait until every fault is undone, and nothing is left of it."""
        await asyncio.gather(*self._undoing)
        self.links.heal()
        for part in Part:
            await running(self.rig, part)
        await self.recoveries.finish()

    async def _undo(self, fault: Fault, undo: Undo) -> None:
        await asyncio.sleep(getattr(fault, "seconds", 0.0))
        await undo()
        self.recoveries.begin(fault.kind)

    async def _inject(self, fault: Fault) -> Undo | None:
        """Inject a fault; returns how it is undone after its time, None if it had no target."""
        match fault:
            case Kill(part):
                return await self._end(part, signal.SIGKILL)
            case Restart(part):
                return await self._end(part, signal.SIGTERM)
            case Freeze(part):
                return _freeze(with_children(await running(self.rig, part)))
            case KillJob() | FreezeJob():
                return await self._disturb_job(fault)
            case BreakWire(wire, mode):
                self.links.wires[wire].fail(mode)
                return self._heal(self.links.wires[wire].heal)
            case DisturbWebhooks(delivery):
                self.links.webhooks.delivery = delivery
                return self._heal(self._deliver)
            case RepeatCallbacks(pick):
                return await self._repeat_callbacks(pick)
            case FromOutside():
                return await self._from_outside(fault)
            case Flood(starts):
                flood = asyncio.create_task(self.callers.flood(starts, self.injected.total()))
                return lambda: _wait(flood)
            case FullDisk():
                full = NoFiles(await running(self.rig, Part.AGENT))
                full.begin()
                return full.end
            case LoseLists() | KillRedis():
                return await self._disturb_redis(fault)
            case _:
                raise NotImplementedError(fault)

    async def _end(self, part: Part, how: signal.Signals) -> Undo | None:
        process = await running(self.rig, part)
        with suppress(psutil.NoSuchProcess):
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
        return lambda: self._restarted(part, process.pid)

    async def _restarted(self, part: Part, killed: int) -> None:
        with suppress(StackError):  # told by `finish`, which waits again
            await self.rig.stack.wait_restarted(part, killed)

    async def _disturb_job(self, fault: KillJob | FreezeJob) -> Undo | None:
        async for status in self._calls(fault.pick):
            key = SessionKey(status.org, status.session_id)
            job = await self.rig.find_job(key, status.attempt)
            if job is None:
                continue
            if isinstance(fault, FreezeJob):
                return _freeze([job])
            with suppress(psutil.NoSuchProcess):
                job.kill()
            return _nothing
        return None

    async def _from_outside(self, fault: FromOutside) -> Undo | None:
        async for status in self._calls(fault.pick):
            if await self.operator.do(fault.action, status):
                return _nothing
        return None

    async def _disturb_redis(self, fault: LoseLists | KillRedis) -> Undo | None:
        if self.redis is None:
            return None
        if isinstance(fault, KillRedis):
            await self.redis.restart()
        else:
            await self.redis.command("FLUSHALL")
        return _nothing

    async def _repeat_callbacks(self, pick: float) -> Undo | None:
        known = [one for one in self.rig.proxy.acknowledged if _session_of(one)]
        if not known:
            return None
        session_id = _session_of(known[int(pick * len(known))])
        calls = [one for one in known if _session_of(one) == session_id]
        random.Random(pick).shuffle(calls)
        for call in calls:
            with suppress(httpx.TransportError):  # the API is away
                await self._repeat(self.rig.proxy.keys[session_id], call)
        return _nothing

    async def _repeat(self, key: SessionKey, call: Acknowledged) -> None:
        if call.path == REPORT_PATH:
            await self.rig.agent(key, call.body["attempt"]).report(call.body)
        elif turns := call.body["turns"]:
            await self.rig.agent(key, turns[0]["attempt"]).turns(key.session_id, turns)

    async def _calls(self, pick: float) -> AsyncGenerator[SessionStatus]:
        """The calls that are going on, beginning with the one that was picked."""
        sessions = self.callers.open
        first = int(pick * len(sessions))
        for key in sessions[first:] + sessions[:first]:
            status = await self.callers.status(key)
            if status is not None and not status.state.call_is_over():
                yield status

    def _deliver(self) -> None:
        self.links.webhooks.delivery = None

    def _heal(self, heal: Callable[[], None]) -> Undo:
        async def undo() -> None:
            heal()

        return undo


def _freeze(processes: Sequence[psutil.Process]) -> Undo:
    async def thaw() -> None:
        resume(processes)

    suspend(processes)
    return thaw


async def _wait(task: asyncio.Task[None]) -> None:
    await task


def _session_of(call: Acknowledged) -> str:
    """The session whose turns or report were acknowledged; empty for other callbacks."""
    if call.path == REPORT_PATH:
        return call.answer["sessionId"]
    return call.path.split("/")[-2] if call.path.endswith("/turns") else ""
