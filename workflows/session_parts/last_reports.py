"""The agent's report at the end of a call: asked for, waited for, and who may go meanwhile."""

from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from domain.sessions.attempts import Attempt, AttemptState
    from domain.sessions.ending import Ending
    from workflows.failures import reason_of
    from workflows.session_parts.attempts import Attempts
    from workflows.session_parts.context import SessionContext
    from workflows.session_parts.room import SessionRoom
    from workflows.waiting import until


AT_ONCE = 1.0
"""Seconds in which an agent that is removed usually reports."""


class LastReports:
    """The reports that a session still waits for when its call is over."""

    def __init__(self, session: SessionContext, attempts: Attempts, room: SessionRoom) -> None:
        self._session = session
        self._attempts = attempts
        self._room = room
        self.stop_waiting = False
        """An operator wants no more waiting for a report."""

    async def collect(self, attempt: Attempt, ending: Ending) -> None:
        """Ask the agent to finish; if it does not, remove it, for its end hook sends a report, too.

        External agents understand no request: `ask_agents_to_finish` removes them at once.
        """

        def over() -> bool:
            dead = self._session.revised_ending and attempt.state is AttemptState.LOST
            return self.stop_waiting or attempt.report is not None or dead

        # An agent that fails as it finishes reports that as well, so its report is waited for.
        grace = self._session.limits.report_grace
        attempt.asked_to_finish = True
        await self._tell_agent(self._session.activities.ask_agents_to_finish, attempt, ending)
        self._session.run_in_background(self._let_callers_go_after(attempt))
        if not await self._session.until(over, grace * 2 / 3, "the agent's report"):
            await self._tell_agent(self._session.activities.remove_agents, attempt, ending)
            self._room.start_deleting()
            await self._session.until(over, grace / 3, "the removed agent's report")
        if not attempt.report:
            self._session.tracker.log("no report came; only the streamed turns are kept")

    async def collect_removed_agents(self, attempt: Attempt) -> None:
        """Give the report of an agent that was removed on request its time to come, as well."""
        removed = attempt.removed_on_request
        if removed is None or removed.report or not self._session.revised_ending_2:
            return
        if removed.external:
            # Its room stays for its report.
            await self._room.remove_callers()
        else:
            self._room.start_deleting()
        await self._session.until(
            lambda: self.stop_waiting or removed.dead or removed.report is not None,
            self._session.limits.report_grace,
            "the report of the agent that was removed on request",
        )

    async def _let_callers_go_after(self, attempt: Attempt) -> None:
        """Let the callers go as soon as this agent, which finishes, is not in the room any more."""
        revised = self._session.revised_ending_2
        # If no report comes at once, the room stays for it, but without the callers.
        if (
            attempt.external
            and revised
            and not await self._session.until(
                lambda: attempt.is_over or bool(attempt.report), AT_ONCE
            )
        ):
            await self._room.remove_callers()
        # `_wind_down` closes the attempt, at the latest.
        if revised and not attempt.external:
            await self._attempts.until_left_for_good(attempt)
        else:
            await until(lambda: attempt.is_over or bool(attempt.left_at and not attempt.external))
        self._room.start_deleting()

    async def _tell_agent(
        self, step: Callable[[str, str | None], Awaitable[object]], attempt: Attempt, ending: Ending
    ) -> None:
        # None: every agent that is in the room.
        identity = None if attempt.external else attempt.agent_identity
        try:
            await step(ending.reason.value, identity)
        except ActivityError as error:
            self._session.tracker.log(f"the agent could not be told: {reason_of(error)}")
