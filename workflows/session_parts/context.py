"""What all parts of a session's workflow share: its request, its activities, its end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.sessions.ending import Ending
    from domain.sessions.session import SessionInput
    from workflows.session_parts.activities import SessionActivities
    from workflows.session_parts.status_tracker import SessionStatusTracker
    from workflows.waiting import SharedTimers, retrieve_exception, until

Result = TypeVar("Result")
REVISED_ENDING = "revised-ending"
"""Patch: see `SessionContext.revised_ending`."""
REVISED_ENDING_2 = "revised-ending-2"
"""Patch: see `SessionContext.revised_ending_2`."""
AGENT_PLACES = "agent-places"
"""Patch: see `SessionContext.has_place`."""
SHORT_HISTORY = "short-history"
"""Patch: see `SessionContext.short_history`. It implies all patches before it: each one that is
evaluated adds two events."""


class CallOver(Exception):
    """The call has come to its end; the chapters of the call raise it between two steps."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.text)
        self.ending = ending


class SessionContext:
    """One session, as all of its parts know it."""

    def __init__(self, request: SessionInput) -> None:
        self.request = request
        self.limits = request.limits
        self.activities = SessionActivities(request)
        self.tracker = SessionStatusTracker(request, workflow.now())
        self.ending: Ending | None = None
        """Why the call ends; None while nothing has ended it. The first reason stays."""
        self.revised_ending = False
        """What sessions that began before a release with it do not do:

        - The room is deleted as soon as no agent serves its callers.
        - The report of an agent that died is not waited for.
        - The room is checked once more for a caller before a call counts as one without a caller.
        - An external agent that deletes its room has hung up.
        - Agents that no dispatch of the session has sent are named in the timeline.
        - A redispatch is refused once the call has been ended.
        """
        self.revised_ending_2 = False
        """What sessions that began before a release with it do not do:

        - An end counts that comes during the last retraction of an attempt.
        - The maximum duration and a caller's absence also end the call while its agent is looked
          for or removed.
        - The report of an agent that was removed on request is waited for.
        - An agent's leave is still known if the call ends while it is checked.
        - The callers of an external agent that was removed are disconnected.
        - No agent is lost because LiveKit does not answer.
        - At the end, too, an agent that left is looked for before its callers are disconnected.
        """
        self.has_place = False
        """Whether it holds a place on an agent server, or waits for one; not if an older worker has
        begun it, which released none."""
        self.short_history = False
        """What sessions that began before a release with it do not do:

        - Changes of search attributes within one workflow task are published together.
        - Waits share their timers.
        - The last check for callers is not cancelled when the call is over.
        """
        self._timers = SharedTimers()
        self._background: list[asyncio.Task[None]] = []

    def evaluate_patches(self) -> None:
        """Ask, before the first step, which revisions of the workflow this session began with."""
        self.short_history = workflow.patched(SHORT_HISTORY)
        self.revised_ending = self.patched(REVISED_ENDING)
        self.revised_ending_2 = self.patched(REVISED_ENDING_2)
        self.has_place = self.request.place is not None and self.patched(AGENT_PLACES)
        self.tracker.combine_updates = self.short_history

    def patched(self, older_patch: str) -> bool:
        """Whether this session began with a release that has this patch."""
        return self.short_history or workflow.patched(older_patch)

    async def until(
        self, condition: Callable[[], bool], seconds: float | None, what: str = "a deadline"
    ) -> bool:
        """Wait until a condition is true or some seconds have passed, on a shared timer."""
        wait = self._timers.until if self.short_history else until
        return await wait(condition, seconds, what)

    def end_with(self, ending: Ending) -> None:
        """End the call; the first reason is the one that counts."""
        if self.ending is None and not self.tracker.status.state.call_is_over():
            self.ending = ending
            self.tracker.touch()

    async def cancel_if_call_ends(self, step: workflow.ActivityHandle[Result]) -> Result:
        """A step's result. If the call ends meanwhile, the step is cancelled.

        Raises:
            ActivityError: the step failed, or was cancelled.
        """
        retrieve_exception(step)
        await until(lambda: step.done() or self.ending is not None)
        if not step.done():
            step.cancel()
        return await step

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something while the session goes on; whoever starts it cancels it."""
        task = asyncio.create_task(work)
        # Those that failed stay, for `background_ended`.
        self._background = [one for one in self._background if not _is_over(one)]
        self._background.append(task)
        return task

    async def background_ended(self) -> None:
        """Wait until nothing runs in the background any more, and raise what went wrong there."""
        for ended in await asyncio.gather(*self._background, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


def _is_over(task: asyncio.Task[None]) -> bool:
    """Whether a task has ended, and not by an error."""
    return task.done() and (task.cancelled() or task.exception() is None)
