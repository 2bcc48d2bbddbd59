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
        self._last: PlaceChanged | None = None
        """The last message about its position; it may come before the first step."""
        self._waiting = False
        self._release_begun = False

    def changed(self, change: PlaceChanged) -> None:
        """The session has moved in the queue, or has got its place."""
        if not self._reserved:
            self._last = change
            self._show()

    @property
    def _reserved(self) -> bool:
        return self._last is not None and self._last.position == 0

    def _show(self) -> None:
        if self._waiting and not self._reserved:
            last = self._last
            self._session.tracker.queued(last and last.position, last and last.seconds)

    async def wait(self) -> None:
        """Wait in the queue, if the session is in it.

        Raises:
            CallOver: no place was free in time, or the call has ended meanwhile.
        """
        session = self._session
        if not session.has_place or session.request.place is not PlaceState.QUEUED:
            return
        if self._reserved:
            return
        self._waiting = True
        self._show()
        session.tracker.log("no agent server has a free place: waiting in the queue")
        await until(
            lambda: self._reserved or session.ending is not None,
            session.limits.queue_seconds,
            "a free place on an agent server",
        )
        self._waiting = False
        session.tracker.left_queue()
        if session.ending:
            raise CallOver(session.ending)
        if not self._reserved:
            raise CallOver(endings.explained(endings.NO_CAPACITY, None, session.request.no_agent))
        session.tracker.log("a place on an agent server is reserved")

    def start_releasing(self) -> None:
        """Release the place, or leave the queue, in the background, for as long as it takes."""
        if self._session.has_place and not self._release_begun:
            self._release_begun = True
            self._session.run_in_background(self._session.activities.release_place())
