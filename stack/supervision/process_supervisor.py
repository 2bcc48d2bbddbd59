"""Keeps one part alive: starts it, and restarts it when it dies or stays unhealthy.

A part is `waiting` for its dependencies, `starting`, then `running` or `failed`. A running part may
be `unhealthy` for some checks; it is `restarting` when it dies or fails too many checks.
"""

import asyncio
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from stack.layout.home import Home
from stack.layout.parts import Part
from stack.progress import Progress
from stack.supervision.health import CannotTellError, NotHealthyError
from stack.supervision.logs import tail
from stack.supervision.processes import (
    describe_exit,
    kill_group,
    start_process,
    stop_process,
    wait_for_exit,
)
from stack.supervision.state import PartState, ProcessState

_POLL_SECONDS = 0.05
_CHECK_WHILE_STARTING = 0.2
_CHECK_LIMIT = 60.0
_MOST_DOUBLINGS = 5
_DELAYS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
_STEADY_AFTER = 30.0
_SHOWN_LINES = 15


class PartFailedError(Exception):
    """A part did not start; the message says why, `log_tail` is the end of its log."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        super().__init__(f"{name} {reason}")
        self.reason = reason
        self.log_tail = tail(log, _SHOWN_LINES)


class ProcessSupervisor:
    """Supervises one part.

    Calls `changed` after every change of `state`. `dependencies` returns the supervisors of the
    parts that this one needs: each time anew, because a part may be stopped or replaced meanwhile.

    Attributes:
        ready: Whether it was healthy once.
    """

    def __init__(
        self,
        part: Part,
        home: Home,
        progress: Progress,
        changed: Callable[[], None],
        dependencies: Callable[[], Sequence["ProcessSupervisor"]],
    ) -> None:
        self.part = part
        self.state = ProcessState(name=part.name, log=str(home.log(part.name)))
        self.ready = False
        self._home = home
        self._log = home.log(part.name)
        self._progress = progress
        self._changed = changed
        self._dependencies = dependencies
        self._process: Process | None = None
        self._healthy_since = 0.0
        self._failures = 0
        self._failed_checks = 0
        self._unhealthy_restarts = 0

    @property
    def healthy(self) -> bool:
        """Whether it runs and passed its last check."""
        return self.state.state == "running" and self._failed_checks == 0

    def dependencies_healthy(self) -> bool:
        """Tell whether all direct and indirect dependencies pass their checks now."""
        return all(part.healthy and part.dependencies_healthy() for part in self._dependencies())

    async def keep(self) -> None:
        """Start the part once its dependencies are ready, and keep it alive until cancelled.

        Raises:
            PartFailedError: It did not become healthy at its first start.
        """
        while True:
            if all(part.ready for part in self._dependencies()):
                break
            await asyncio.sleep(_POLL_SECONDS)
        await self._start_first()
        while True:
            await self._restart(await self._watch())

    async def start(self) -> None:
        """Start the process and wait until it is healthy; stop it if it does not become so.

        Raises:
            PartFailedError: It did not become healthy.
        """
        self.state.since = time.time()
        try:
            process = await start_process(
                self.part.command, self.part.environment, self._home, self._log
            )
        except OSError as problem:
            reason = f"could not be started: {problem}"
            raise PartFailedError(self.part.name, reason, self._log) from None
        self._process, self.state.pid = process, process.pid
        self._changed()
        try:
            await self._until_healthy(process, self.state.since)
        except PartFailedError:
            await stop_process(process, self.part.grace_seconds)
            raise
        self._healthy_since = time.monotonic()

    async def stop(self) -> None:
        """Terminate the part, and kill it after its grace period."""
        if self._process is not None:
            self._set("stopping")
            step = self._progress.begin(f"stop {self.part.name}")
            in_time = await stop_process(self._process, self.part.grace_seconds)
            self._progress.done(step, "" if in_time else "killed after its grace period")
        self._set("stopped")

    def kill(self) -> None:
        """Kill the part at once."""
        if self._process is not None:
            kill_group(self._process)

    async def _start_first(self) -> None:
        step = self._progress.begin(self.part.name, f"log: {self._log}")
        self._set("starting")
        try:
            await self.start()
        except PartFailedError as failure:
            self._set("failed", str(failure))
            self._progress.fail(step, str(failure))
            raise
        finally:
            self._progress.drop(step)
        self._set("running")
        self.ready = True
        self._progress.done(step, f"pid {self.state.pid}  {self.part.where}")

    async def _restart(self, reason: str) -> None:
        """Start the part until it is healthy again, with growing delays."""
        if time.monotonic() - self._healthy_since > _STEADY_AFTER:
            self._failures = 0
        self._progress.say(f"! {self.part.name} {reason}; restarting it")
        self.state.last_restart = reason
        began = time.monotonic()
        while True:
            self._set("restarting", reason)
            await asyncio.sleep(_DELAYS[min(self._failures, len(_DELAYS) - 1)])
            self._failures += 1
            self.state.restarts += 1
            try:
                await self.start()
                break
            except PartFailedError as failure:
                reason = failure.reason
                self._progress.say(f"! {failure}; log: {self._log}")
        self._set("running")
        seconds = time.monotonic() - began
        self._progress.say(f"✓ {self.part.name} runs again after {seconds:.1f} s")

    async def _until_healthy(self, process: Process, started: float) -> None:
        deadline = time.monotonic() + self.part.start_seconds
        while True:
            reason = ""
            try:
                await self.part.check(started)
                await self.part.prepare()
                # Another process may have answered in its place.
                if process.returncode is None:
                    return
            except NotHealthyError as problem:
                reason = f"not healthy after {self.part.start_seconds:.0f} s: {problem}"
            code = await wait_for_exit(process, _CHECK_WHILE_STARTING)
            if code is not None:
                reason = describe_exit(code)
            if code is not None or time.monotonic() > deadline:
                raise PartFailedError(self.part.name, reason, self._log)

    async def _watch(self) -> str:
        """Check the process until it ends or stays unhealthy; returns which, as a sentence end."""
        process, started = self._process, self.state.since
        assert process is not None
        assert started is not None
        misses = passes = 0
        while (code := await wait_for_exit(process, self.part.check_seconds)) is None:
            # Allow twice as many failures after each restart that did not help for long: when the
            # cause lies elsewhere (a full disk), repeated restarts only do harm.
            allowed = self.part.misses * 2 ** min(self._unhealthy_restarts, _MOST_DOUBLINGS)
            problem = await self._check_once(process.pid, started)
            if problem is None:
                self._failed_checks = misses = 0
                passes += 1
                if passes >= allowed:
                    self._unhealthy_restarts = 0
                self._set("running")
                continue
            self._failed_checks += 1
            passes = 0
            # A check counts against the part only if nothing that it needs can be the cause.
            own = not isinstance(problem, CannotTellError) and self.dependencies_healthy()
            misses = misses + 1 if own else 0
            if self._failed_checks > 1:
                self._set("unhealthy", str(problem))
            if misses >= allowed:
                self._unhealthy_restarts += 1
                reason = f"failed {misses} checks in a row ({problem}) and was killed"
                break
        else:
            reason = describe_exit(code)
        # A process that hangs would not react to SIGTERM. Its children must not outlive it: two
        # agents in a room are worse than none.
        await stop_process(process, grace=0)
        self._failed_checks = 0
        return reason

    async def _check_once(self, pid: int, started: float) -> NotHealthyError | None:
        """Return what is wrong with the process, if anything is."""
        try:
            with suppress(psutil.NoSuchProcess):  # its end is noticed as such
                if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                    return NotHealthyError("its process is stopped, as by SIGSTOP")
            async with asyncio.timeout(_CHECK_LIMIT):
                await self.part.check(started)
        except NotHealthyError as problem:
            return problem
        except TimeoutError:
            return NotHealthyError(f"its check did not end within {_CHECK_LIMIT:.0f} s")
        return None

    def _set(self, state: PartState, reason: str = "") -> None:
        if (self.state.state, self.state.reason) == (state, reason):
            return
        self.state.state, self.state.reason = state, reason
        if state in ("restarting", "stopped", "failed"):
            self.state.pid = None
        self._changed()
