"""Runs a stack: starts the parts in order, keeps them alive, stops them in the reverse order."""

import asyncio
import itertools
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from stack.layout.environment import Plan
from stack.layout.parts import Part, all_parts
from stack.layout.wanted import read_wanted
from stack.progress import Progress
from stack.supervision.logs import cap_log
from stack.supervision.process_supervisor import PartFailedError, ProcessSupervisor
from stack.supervision.reload import changed_parts
from stack.supervision.state import (
    ProcessState,
    StackPhase,
    StackState,
    Urls,
    write_state,
)

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CHANGE_SIGNAL = signal.SIGUSR1
"""Tells the supervisor that the desired state (`stack.layout.wanted`) has changed."""
_CAP_LOGS_EVERY = 30
_POLL_SECONDS = 0.05


class Supervisor:
    """The parent of all processes of one stack.

    With `sources`, it restarts the API and the worker when Python files below that folder change.
    """

    def __init__(
        self,
        plan: Plan,
        progress: Progress,
        parts: Callable[[Plan], list[Part]] = all_parts,
        sources: Path | None = None,
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._parts = parts
        self._sources = sources
        self._order = [part.name for part in parts(plan)]
        self._processes: dict[str, ProcessSupervisor] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()
        self._started_up = asyncio.Event()
        self._changing = asyncio.Lock()
        self._phase: StackPhase = "starting"
        self._started = psutil.Process().create_time()
        self._revision = plan.wanted.revision
        self._fault: BaseException | None = None
        self._unwritable = False

    async def run(self) -> int:
        """Run the stack until it is told to stop.

        Returns:
            The exit code: 0 after a requested end, 1 if a part could not be started.
        """
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(CHANGE_SIGNAL, self._on_change)
        chores = asyncio.create_task(self._chores())
        reload = asyncio.create_task(self._reload())
        reload.add_done_callback(self._on_task_end)
        code = 1
        try:
            code = await self._start_and_stay()
        finally:
            reload.cancel()
            await self._stop_everything(failed=code != 0)
            chores.cancel()
        return code

    def _on_stop(self) -> None:
        """Stop; on a second signal, kill."""
        if self._stop.is_set():
            self._progress.say("! second signal: killing what is still running")
            for process in self._processes.values():
                process.kill()
        self._stop.set()

    def _on_change(self) -> None:
        change = asyncio.create_task(self._apply_wanted())
        change.add_done_callback(lambda task: task.result())

    async def _start_and_stay(self) -> int:
        for part in self._parts(self._plan):
            if self._plan.wanted.wants(part.name):
                self._begin(part)
        self._write_state()
        try:
            while not self._stop.is_set() and not self._started_up.is_set():
                for task in self._tasks.values():
                    if task.done():  # only on failure
                        task.result()
                if all(process.ready for process in self._processes.values()):
                    self._announce()
                await asyncio.sleep(_POLL_SECONDS)
            await self._stop.wait()
        except PartFailedError as failure:
            self._explain(failure)
            return 1
        if self._fault is not None:
            raise self._fault
        return 0

    def _announce(self) -> None:
        self._phase = "running"
        self._started_up.set()
        state = self.state()
        self._progress.say(
            banner(state, self._plan.credentials.api_key), logged=banner(state, None)
        )
        # Only now: `everline up --detach` shows the log until the state says so.
        self._write_state()

    def _begin(self, part: Part) -> None:
        process = ProcessSupervisor(
            part,
            self._plan.home,
            self._progress,
            self._write_state,
            # Those that are not left out.
            lambda: [self._processes[name] for name in part.needs if name in self._processes],
        )
        self._processes[part.name] = process
        self._tasks[part.name] = asyncio.create_task(process.keep(), name=part.name)
        self._tasks[part.name].add_done_callback(self._on_task_end)

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        """Handle the failure of a part or of the reloading."""
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, PartFailedError):
            # During the start, `_start_and_stay` handles it. A part that was added to a running
            # stack does not end the others.
            if self._phase != "starting":
                self._explain(failure)
        elif failure is not None:
            # A bug: that part would not be restarted, or would run outdated code.
            self._fault = failure
            self._stop.set()

    async def _apply_wanted(self) -> None:
        """Stop the parts that are no longer wanted, and start those that are wanted again."""
        async with self._changing:
            self._plan = replace(self._plan, wanted=read_wanted(self._plan.home))
            parts = self._parts(self._plan)
            for part in reversed(parts):
                kept = self._processes.get(part.name)
                if kept is not None and not self._is_as_desired(kept, part):
                    await self._end(part.name)
            for part in parts:
                if self._plan.wanted.wants(part.name) and part.name not in self._processes:
                    self._begin(part)
            self._revision = self._plan.wanted.revision
            self._write_state()

    async def _reload(self) -> None:
        """Restart parts whose code was edited; one that fails to start waits for the next edit."""
        if self._sources is None:
            return
        async for names in changed_parts(self._sources):
            await self._started_up.wait()
            await self._restart(names)

    async def _restart(self, names: Sequence[str]) -> None:
        async with self._changing:
            parts = [part for part in self._parts(self._plan) if part.name in names]
            parts = [part for part in parts if part.name in self._processes]
            self._progress.say(f"! sources changed; restarting {', '.join(p.name for p in parts)}")
            await asyncio.gather(*(self._end(part.name) for part in parts))
            for part in parts:
                self._begin(part)
            self._write_state()

    def _is_as_desired(self, kept: ProcessSupervisor, part: Part) -> bool:
        """Tell whether a part is wanted with its current settings and has not failed."""
        wanted = self._plan.wanted.wants(part.name)
        same = kept.part.environment == part.environment
        return wanted and same and kept.state.state != "failed"

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self._processes[name].stop()
        del self._processes[name]

    async def _stop_everything(self, *, failed: bool) -> None:
        self._phase = "stopping"
        self._write_state()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for name in reversed(self._order):
            process = self._processes.get(name)
            # A part that failed has ended, and its state says why the stack did not start.
            if process and not (failed and process.state.state == "failed"):
                await process.stop()
        self._phase = "failed" if failed else "stopped"
        self._write_state()

    async def _chores(self) -> None:
        for seconds in itertools.count(1):
            await asyncio.sleep(1)
            self._progress.remind()
            if self._unwritable:
                self._write_state()
            if seconds % _CAP_LOGS_EVERY == 0:
                self._cap_logs()

    def _cap_logs(self) -> None:
        for name in (*self._order, "supervisor"):
            try:
                cap_log(self._plan.home.log(name))
            except OSError as problem:
                self._progress.say(f"! the log of {name} cannot be truncated: {problem}")

    def state(self) -> StackState:
        """Return what is running."""
        home, addresses, wants = self._plan.home, self._plan.addresses, self._plan.wanted.wants
        processes = [
            self._processes[name].state
            if name in self._processes
            else ProcessState(name=name, state="left_out", log=str(home.log(name)))
            for name in self._order
        ]
        phase = self._phase
        if phase == "running" and any(p.state not in ("running", "left_out") for p in processes):
            phase = "degraded"
        return StackState(
            state=phase,
            urls=Urls(
                api=f"http://localhost:{addresses.ports.api}" if wants("api") else None,
                livekit=addresses.livekit if wants("livekit") else None,
                temporal=addresses.temporal if wants("temporal") else None,
                temporal_ui=addresses.temporal_ui if wants("temporal") else None,
                mongodb=addresses.mongodb_uri,
            ),
            processes=processes,
            supervisor_pid=os.getpid(),
            supervisor_started=self._started,
            revision=self._revision,
        )

    def _write_state(self) -> None:
        """Write the state file; a full disk must not end the supervision."""
        try:
            write_state(self._plan.home, self.state())
        except OSError as problem:
            if not self._unwritable:
                self._progress.say(
                    f"! {self._plan.home.state} cannot be written ({problem.strerror}): "
                    "`everline status` is out of date until it can"
                )
            self._unwritable = True
        else:
            if self._unwritable:
                self._progress.say("✓ the state can be written again")
            self._unwritable = False

    def _explain(self, failure: PartFailedError) -> None:
        self._progress.say(f"\n{failure}. The end of its log:")
        for line in failure.log_tail or ["(it wrote nothing)"]:
            self._progress.say(f"    {line}")


def banner(state: StackState, api_key: str | None) -> str:
    """Return the addresses of a running stack, for display; without the key, for a log."""
    rows = {
        "API": state.urls.api,
        "API docs": f"{state.urls.api}/docs" if state.urls.api else None,
        "API key": api_key,
        "Temporal UI": state.urls.temporal_ui,
        "Temporal": state.urls.temporal,
        "LiveKit": state.urls.livekit,
        "MongoDB": state.urls.mongodb,
    }
    lines = [f"  {title:<12} {value}" for title, value in rows.items() if value]
    return "\n".join(["", "Everline is running.", *lines, ""])
