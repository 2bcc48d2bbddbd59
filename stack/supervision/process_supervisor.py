"""Keeps one part alive: starts it, and restarts it when it dies or stays unhealthy."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import psutil

from stack.layout.home import Home
from stack.layout.parts import Part
from stack.progress import Progress
from stack.supervision.child import Child, describe_exit
from stack.supervision.health import CannotTellError, NotHealthyError
from stack.supervision.logs import tail
from stack.supervision.state import PartState, ProcessState

_CHECK_WHILE_STARTING = 0.2
_CHECK_LIMIT = 60.0
_MOST_DOUBLINGS = 5
_DELAYS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
_STEADY_AFTER = 30.0
_SHOWN_LINES = 15


class PartFailedError(Exception):
    """A part did not start; the message says why, `log_tail` is the end of its log."""

    def __init__(self, name: str, reason: str, log_tail: Sequence[str]) -> None:
        super().__init__(f"{name} {reason}")
        self.reason = reason
        self.log_tail = list(log_tail)


class ProcessSupervisor:
    """Supervises one part.

    Attributes:
        part: What is supervised.
        state: What it is doing; `changed` is called after every change.
        ready: Set once it was healthy for the first time.
    """

    def __init__(
        self, part: Part, home: Home, progress: Progress, changed: Callable[[], None]
    ) -> None:
        self.part = part
        self.state = ProcessState(name=part.name, log=str(home.log(part.name)))
        self.ready = asyncio.Event()
        self._home = home
        self._log = home.log(part.name)
        self._progress = progress
        self._changed = changed
        self._child: Child | None = None
        self._healthy_since = 0.0
        self._failures = 0
        self._failed_checks = 0
        self._unhealthy_restarts = 0

    @property
    def well(self) -> bool:
        """Whether it runs and passed its last check."""
        return self.state.state == "running" and self._failed_checks == 0

    async def keep(
        self, needs_met: Callable[[], Awaitable[None]], needs_well: Callable[[], bool]
    ) -> None:
        """Start the part once its dependencies are healthy, and keep it alive until cancelled.

        Args:
            needs_met: Waits until every dependency has been healthy once.
            needs_well: Tells whether every dependency passes its checks now. Only then does a
                failed check count against the part.

        Raises:
            PartFailedError: It did not become healthy at its first start.
        """
        await needs_met()
        await self._start_first()
        while True:
            await self._restart(await self._watch(needs_well))

    async def stop(self) -> None:
        """Terminate the part, and kill it after its grace period."""
        if self._child is None:
            self._set("stopped")
            return
        self._set("stopping")
        step = self._progress.begin(f"stop {self.part.name}")
        in_time = await self._child.stop(self.part.grace_seconds)
        self._set("stopped")
        self._progress.done(step, "" if in_time else "killed after its grace period")

    def kill(self) -> None:
        """Kill the part at once."""
        if self._child is not None:
            self._child.kill_group()

    async def _start_first(self) -> None:
        step = self._progress.begin(self.part.name, f"log: {self._log}")
        self._set("starting")
        try:
            await self._start()
        except PartFailedError as failure:
            self._set("failed", str(failure))
            self._progress.fail(step, str(failure))
            raise
        except asyncio.CancelledError:
            self._progress.drop(step)
            raise
        self._set("running")
        self.ready.set()
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
                await self._start()
                break
            except PartFailedError as failure:
                reason = failure.reason
                self._progress.say(f"! {failure}; log: {self._log}")
        self._set("running")
        seconds = time.monotonic() - began
        self._progress.say(f"✓ {self.part.name} runs again after {seconds:.1f} s")

    async def _start(self) -> None:
        """Start the process and wait until it is healthy; stop it if it does not become so."""
        child = await self._launch()
        try:
            await self._until_healthy(child)
        except PartFailedError:
            await child.stop(self.part.grace_seconds)
            raise
        self._healthy_since = time.monotonic()

    async def _launch(self) -> Child:
        starting = asyncio.ensure_future(
            Child.start(self.part.command, self.part.environment, self._home, self._log)
        )
        try:
            child = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Keep the process that is being created, so that `stop` finds it.
            self._child = await starting
            raise
        except OSError as problem:
            raise self._failed(f"could not be started: {problem}") from None
        self._child = child
        self.state.pid, self.state.since = child.pid, child.started
        self._changed()
        return child

    async def _until_healthy(self, child: Child) -> None:
        deadline = time.monotonic() + self.part.start_seconds
        while True:
            try:
                await self.part.check(child.started)
                await self.part.prepare()
                # Another process may have answered in its place.
                if child.exit_code is None:
                    return
                reason = "is gone"
            except NotHealthyError as problem:
                reason = str(problem)
            code = await _exit_within(child, _CHECK_WHILE_STARTING)
            if code is not None:
                raise self._failed(describe_exit(code))
            if time.monotonic() > deadline:
                raise self._failed(f"not healthy after {self.part.start_seconds:.0f} s: {reason}")

    async def _watch(self, needs_well: Callable[[], bool]) -> str:
        """Check the process until it ends or stays unhealthy; returns which, as a sentence end."""
        child = self._child
        assert child is not None
        misses = passes = 0
        while (code := await _exit_within(child, self.part.check_seconds)) is None:
            # Allow twice as many failures after each restart that did not help for long: when the
            # cause lies elsewhere (a full disk), repeated restarts only do harm.
            allowed = self.part.misses * 2 ** min(self._unhealthy_restarts, _MOST_DOUBLINGS)
            problem = await self._check_once(child)
            if problem is None:
                self._failed_checks = misses = 0
                passes += 1
                if passes >= allowed:
                    self._unhealthy_restarts = 0
                self._set("running")
                continue
            self._failed_checks += 1
            passes = 0
            own = not isinstance(problem, CannotTellError) and needs_well()
            misses = misses + 1 if own else 0
            if self._failed_checks > 1:
                self._set("unhealthy", str(problem))
            if misses >= allowed:
                self._unhealthy_restarts += 1
                # Not terminated first: a process that hangs would not react.
                child.kill_group()
                await child.wait()
                self._failed_checks = 0
                return f"failed {misses} checks in a row ({problem}) and was killed"
        # Its children must not outlive it: two agents in a room are worse than none.
        child.kill_group()
        self._failed_checks = 0
        return describe_exit(code)

    async def _check_once(self, child: Child) -> NotHealthyError | None:
        """Return what is wrong with the process, if anything is."""
        try:
            if _is_frozen(child.pid):
                return NotHealthyError("its process is stopped, as by SIGSTOP")
            async with asyncio.timeout(_CHECK_LIMIT):
                await self.part.check(child.started)
        except NotHealthyError as problem:
            return problem
        except TimeoutError:
            return NotHealthyError(f"its check did not end within {_CHECK_LIMIT:.0f} s")
        return None

    def _failed(self, reason: str) -> PartFailedError:
        return PartFailedError(self.part.name, reason, tail(self._log, _SHOWN_LINES))

    def _set(self, state: PartState, reason: str = "") -> None:
        if (self.state.state, self.state.reason) == (state, reason):
            return
        self.state.state, self.state.reason = state, reason
        if state in ("restarting", "stopped", "failed"):
            self.state.pid = None
        self._changed()


async def _exit_within(child: Child, seconds: float) -> int | None:
    try:
        return await asyncio.wait_for(child.wait(), seconds)
    except TimeoutError:
        return None


def _is_frozen(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False  # its end is noticed as such
