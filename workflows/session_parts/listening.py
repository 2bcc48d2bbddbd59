"""The transcript of an external agent: it sends no turns, so a listener hears them in the room."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from domain.sessions.attempts import Attempt
    from workflows.failures import reason_of, was_cancelled
    from workflows.session_parts.context import SessionContext
    from workflows.waiting import retrieve_exception

LISTENER_GRACE = 10.0
"""Seconds in which a listener ends by itself once its agent has left."""


class Listener:
    """Hears external agents, one after the other."""

    def __init__(self, session: SessionContext) -> None:
        self._session = session
        self._listening: workflow.ActivityHandle[int] | None = None

    def start(self, attempt: Attempt) -> None:
        """Listen, if the attempt's agent is an external one."""
        if attempt.external and attempt.agent_identity and self._session.request.archive:
            self._listening = self._session.activities.listen_to_agent(
                attempt.number, attempt.agent_identity
            )
            retrieve_exception(self._listening)

    async def stop(self, attempt: Attempt | None) -> None:
        """Stop; an agent without a report has left, and what it said last is still written down."""
        listening, self._listening = self._listening, None
        if listening is None:
            return
        reported = attempt is not None and attempt.report is not None
        if not reported:
            await self._session.until(listening.done, LISTENER_GRACE, "the listener's last turns")
        if not listening.done():
            listening.cancel()
        try:
            heard = await listening
        except ActivityError as error:
            if not reported:
                late = f"it did not finish in {LISTENER_GRACE:g} s"
                why = late if was_cancelled(error) else reason_of(error)
                self._session.tracker.log(f"the listener was stopped: {why}")
        else:
            self._session.tracker.log(f"{heard} turns were heard in the room")
