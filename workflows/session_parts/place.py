"""The session's place on an agent server: waited for in the queue, and released after the call.

The start has reserved it, or put the session into the queue, which the API serves.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.agents.places import PlaceState
    from domain.sessions import ending as endings
    from domain.sessions.messages import PlaceChanged
    from workflows.session_parts.context import CallOver, SessionContext
    from workflows.waiting import until


class AgentPlace:
    """The place of one session."""

    def __init__(self, session: SessionContext) -> None:
        self._session = session
        self._waits = session.request.place is PlaceState.QUEUED
        self._release_begun = False

    def changed(self, change: PlaceChanged) -> None:
        """The session has moved in the queue, or has got its place."""
        if not self._waits:
            return
        if change.position == 0:
            self._waits = False
            self._session.tracker.touch()
        else:
            self._session.tracker.queued(change.position, change.seconds)

    async def wait(self) -> None:
        """Wait in the queue, if the session is in it.

        Raises:
            CallOver: no place was free in time, or the call has ended meanwhile.
        """
        if not self._waits:
            return
        tracker = self._session.tracker
        tracker.queued(tracker.status.queue_position, None)
        tracker.log("no agent server has a free place: waiting in the queue")
        await until(
            lambda: not self._waits or self._session.ending is not None,
            self._session.limits.queue_seconds,
            "a free place on an agent server",
        )
        waits, self._waits = self._waits, False
        tracker.left_queue()
        if self._session.ending:
            raise CallOver(self._session.ending)
        if waits:
            raise CallOver(endings.NO_CAPACITY)
        tracker.log("a place on an agent server is reserved")

    def start_releasing(self) -> None:
        """Release the place, or leave the queue, in the background, for as long as it takes."""
        if self._session.request.place and not self._release_begun:
            self._release_begun = True
            self._session.run_in_background(self._session.activities.release_place())
