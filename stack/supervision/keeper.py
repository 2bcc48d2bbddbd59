"""Keeps one part alive: starts it, waits for its health, starts it again when it dies."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from stack.commands.progress import Progress
from stack.layout.home import Home
from stack.layout.parts import Part
from stack.supervision.child import Child, describe_exit
from stack.supervision.health import NotHealthyError
from stack.supervision.logs import tail
from stack.supervision.state import PartState, ProcessState

_CHECK_WHILE_STARTING = 0.2
_CHECK_WHILE_RUNNING = 10.0
_DELAYS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
_STEADY_AFTER = 30.0
_SHOWN_LINES = 15


class PartFailedError(Exception):
    """A part did not start; the message says how, `log_tail` holds its last words."""

    def __init__(self, name: str, reason: str, log_tail: Sequence[str]) -> None:
        super().__init__(f"{name} {reason}")
        self.log_tail = list(log_tail)


class Keeper:
    """The life of one part.

    Attributes:
        part: What is kept.
        state: What it is doing; `changed` is called after every change of it.
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

    async def keep(self, needs_met: Callable[[], Awaitable[None]]) -> None:
        """Start the part once its needs are healthy, and keep it alive until cancelled.

        Raises:
            PartFailedError: It did not become healthy at its first start.
        """
        await needs_met()
        await self._start_first()
        while True:
            reason = await self._watch()
            await self._start_again(reason)

    async def stop(self) -> None:
        """End the part: politely, and by force after its grace."""
        if self._child is None:
            self._set("stopped")
            return
        self._set("stopping")
        step = self._progress.begin(f"stop {self.part.name}")
        willing = await self._child.stop(self.part.grace_seconds)
        self._set("stopped")
        self._progress.done(step, "" if willing else "by force, its grace was over")

    def kill(self) -> None:
        """End the part at once."""
        if self._child is not None:
            self._child.kill_group()

    async def _start_first(self) -> None:
        step = self._progress.begin(self.part.name, f"log: {self._log}")
        self._set("starting")
        try:
            await self._start_and_wait()
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

    async def _start_again(self, reason: str) -> None:
        """Start the part until it is healthy again, waiting longer from time to time."""
        if time.monotonic() - self._healthy_since > _STEADY_AFTER:
            self._failures = 0
        self._progress.say(f"! {self.part.name} {reason}; starting it again")
        began = time.monotonic()
        while True:
            self._set("restarting", reason)
            await asyncio.sleep(_DELAYS[min(self._failures, len(_DELAYS) - 1)])
            self._failures += 1
            self.state.restarts += 1
            try:
                await self._start_and_wait()
                break
            except PartFailedError as failure:
                reason = str(failure).removeprefix(f"{self.part.name} ")
                self._progress.say(f"! {failure}; log: {self._log}")
        self._set("running")
        seconds = time.monotonic() - began
        self._progress.say(f"✓ {self.part.name} runs again after {seconds:.1f} s")

    async def _start_and_wait(self) -> None:
        """Start the process and wait until it is healthy; a failed one is ended."""
        await self._launch()
        try:
            await self._until_healthy()
        except PartFailedError:
            if self._child is not None:
                await self._child.stop(self.part.grace_seconds)
            raise
        self._healthy_since = time.monotonic()

    async def _launch(self) -> None:
        starting = asyncio.ensure_future(
            Child.start(self.part.command, self.part.environment, self._home, self._log)
        )
        try:
            child = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Cancelled half-way, the process would be lost sight of.
            self._child = await starting
            raise
        except OSError as problem:
            raise self._failed(f"could not be started: {problem}") from None
        self._child = child
        self.state.pid, self.state.since = child.pid, child.started
        self._changed()

    async def _until_healthy(self) -> None:
        assert self._child is not None
        deadline = time.monotonic() + self.part.start_seconds
        while True:
            try:
                await self.part.check(self._child.started)
                await self.part.prepare()
                # A stranger may have answered in its place.
                if self._child.exit_code is None:
                    return
                reason = "is gone"
            except NotHealthyError as problem:
                reason = str(problem)
            code = await self._exit_within(_CHECK_WHILE_STARTING)
            if code is not None:
                raise self._failed(describe_exit(code))
            if time.monotonic() > deadline:
                raise self._failed(f"not healthy after {self.part.start_seconds:.0f} s: {reason}")

    async def _watch(self) -> str:
        """Return how the process ended; note meanwhile whether it does its work."""
        assert self._child is not None
        misses = 0
        while (code := await self._exit_within(_CHECK_WHILE_RUNNING)) is None:
            try:
                await self.part.check(self._child.started)
                misses = 0
                self._set("running")
            except NotHealthyError as problem:
                misses += 1
                if misses > 1:
                    self._set("unhealthy", str(problem))
        # What it started must not go on without it: two agents in a room would be worse than none.
        self._child.kill_group()
        return describe_exit(code)

    async def _exit_within(self, seconds: float) -> int | None:
        assert self._child is not None
        try:
            return await asyncio.wait_for(self._child.wait(), seconds)
        except TimeoutError:
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
