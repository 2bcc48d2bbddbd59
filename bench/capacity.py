"""What a call costs on the machine of the agent worker: memory, and CPU while somebody talks."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import psutil

from bench.instant_stand import PATIENCE_SECONDS, InstantStand
from bench.series import Comparison, Series
from bench.turns import LINE
from stack.demo.caller import Caller

CALLS = 3
"""Most calls at the same time."""
SETTLE_SECONDS = 6.0
"""How long the agent server takes to replace the warm process that a call used."""
WATCH_SECONDS = 8.0
MIB = 1024 * 1024


async def measure_capacity(stand: InstantStand, step: Callable[[], None]) -> list[Comparison]:
    """Measure memory and CPU of the whole agent server without calls, with one and with more."""
    memory = [Series(f"with {count} calls", "MiB") for count in range(CALLS + 1)]
    silent = [Series(f"with {count} calls, silent", "% of a core") for count in range(CALLS + 1)]
    talking = Series(f"with {CALLS} calls, all talking", "% of a core")
    server = stand.agent_server()
    async with AsyncExitStack() as calls:
        callers: list[Caller] = []
        for count in range(CALLS + 1):
            if count:
                callers.append(await calls.enter_async_context(stand.everline_call()))
            await asyncio.sleep(SETTLE_SECONDS)
            await stand.wait_for_jobs(count)
            memory[count].add(_memory(server))
            silent[count].add(await _cpu(server))
            await stand.wait_for_jobs(count)
            step()
        for caller in callers:
            calls.push_async_callback(Talker(caller).fall_silent)
        talking.add(await _cpu(server))
        await stand.wait_for_jobs(CALLS)
    per_call = (memory[-1].median - memory[0].median) / CALLS
    cpu_per_call = (talking.median - silent[0].median) / CALLS
    return [
        Comparison(
            "memory of the agent server with all its processes (shared pages counted once)",
            memory[0],
            memory[1:],
            [f"{per_call:,.0f} MiB for each further call; its warm processes are in all figures"],
        ),
        Comparison(
            "CPU of the agent server with all its processes",
            silent[0],
            [*silent[1:], talking],
            [f"{cpu_per_call:,.0f} % of a core for a call with speech"],
        ),
    ]


def _memory(server: psutil.Process) -> float:
    """Return the proportional set size of a process and its descendants, in MiB."""
    return sum(each.memory_full_info().pss for each in _family(server)) / MIB


async def _cpu(server: psutil.Process) -> float:
    """Return the CPU use in percent of one core, measured over `WATCH_SECONDS`."""
    before, begun = _cpu_seconds(server), time.monotonic()
    await asyncio.sleep(WATCH_SECONDS)
    return 100 * (_cpu_seconds(server) - before) / (time.monotonic() - begun)


def _cpu_seconds(server: psutil.Process) -> float:
    times = [each.cpu_times() for each in _family(server)]
    return sum(each.user + each.system for each in times)


def _family(server: psutil.Process) -> list[psutil.Process]:
    return [server, *server.children(recursive=True)]


class Talker:
    """A caller who repeats one line after each answer."""

    def __init__(self, caller: Caller) -> None:
        self._task = asyncio.create_task(self._talk(caller))

    async def _talk(self, caller: Caller) -> None:
        while True:
            begun = caller.heard.now()
            await caller.play(LINE)
            await caller.wait_until_agent_spoke(begun, PATIENCE_SECONDS)

    async def fall_silent(self) -> None:
        """Stop talking."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
