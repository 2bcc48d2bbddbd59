"""What all parts of a session's workflow share: its request, its activities, its end."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.sessions.ending import Ending
    from domain.sessions.session import SessionInput
    from workflows.session_parts.activities import SessionActivities
    from workflows.session_parts.status_tracker import SessionStatusTracker
    from workflows.waiting import until

Result = TypeVar("Result")
REVISED_ENDING = "revised-ending"
"""Patch: see `SessionContext.revised_ending`."""
SURE_ENDING = "sure-ending"
"""Patch: see `SessionContext.sure_ending`."""


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
        """Whether it lets callers go before the report comes, does not wait for the report of a
        dead agent, looks once more for a caller, and takes an external agent that deletes the room
        for one that hangs up: sessions that began before a release with all this do not."""
        self.sure_ending = False
        """Whether it disconnects the callers of an external agent that was removed, and takes no
        agent for lost while LiveKit does not answer: as above, but a later revision."""
        self._background: list[asyncio.Task[None]] = []

    def evaluate_patches(self) -> None:
        """Ask, before the first step, which revisions of the workflow this session began with."""
        self.revised_ending = workflow.patched(REVISED_ENDING)
        self.sure_ending = workflow.patched(SURE_ENDING)

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
        await until(lambda: step.done() or self.ending is not None)
        if not step.done():
            step.cancel()
        return await step

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something while the session goes on; whoever starts it cancels it."""
        task = asyncio.create_task(work)
        self._background.append(task)
        return task

    async def background_ended(self) -> None:
        """Wait until nothing runs in the background any more, and raise what went wrong there."""
        for ended in await asyncio.gather(*self._background, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
