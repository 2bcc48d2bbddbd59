"""A session: one call with an agent, from the room's creation to its deletion.

Read `_run` first, then the chapters in its order: get an agent in, live, wind down, persist,
summarise, close. Each part that they use is a module of `session_parts/`: `activities.py` has every
step with its time limits and retries, `handlers.py` receives the messages from outside.

Temporal in one minute: a workflow is code that Temporal can run again from its recorded history, so
it survives the death of every process. For that it must take the same steps again: it touches the
outside only through activities (functions that run elsewhere, with retries), and new code asks
`workflow.patched` before it takes other steps than the release that began the session. Signals and
updates are messages to it, a query reads it; their handlers run whenever this code waits. They
interrupt nothing. `@workflow.init` gives the constructor the workflow's input, so that a handler
may run before `run` does. `imports_passed_through` shares our modules with the worker; Temporal's
sandbox would import them anew for every workflow.

A message that ends the call sets `_session.ending`; the first one counts. The steps of the call see
it and raise `CallOver`, which `_call` catches. Every change of what is known increments the status
version, and the live call waits for that.
"""

import asyncio
from collections.abc import Awaitable
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from domain.sessions import ending as endings
    from domain.sessions.attempts import Attempt, AttemptState
    from domain.sessions.ending import Ending
    from domain.sessions.messages import SessionResult
    from domain.sessions.session import Outcome, SessionInput, SessionState, WaitingFor
    from workflows.archive import start_archive, start_summary
    from workflows.failures import ending_of, reason_of
    from workflows.session_parts.attempts import Attempts
    from workflows.session_parts.callers import Callers
    from workflows.session_parts.changes import Changes
    from workflows.session_parts.context import CallOver, SessionContext
    from workflows.session_parts.handlers import REDISPATCH_NEEDS_FREE_PLACE, SessionHandlers
    from workflows.session_parts.last_reports import LastReports
    from workflows.session_parts.listening import Listener
    from workflows.session_parts.messages import HandledMessages
    from workflows.session_parts.place import AgentPlace
    from workflows.session_parts.records import Records
    from workflows.session_parts.room import SessionRoom
    from workflows.waiting import passed, seconds_to, until

MIN_ATTEMPTS_ON_REQUEST = 3
"""The minimum number of dispatch attempts when a healthy agent is replaced on request."""


@workflow.defn(name="session")
class SessionWorkflow(SessionHandlers):
    """One call with an agent, with exactly one end.

    Its signals, updates and query are in `SessionHandlers`, which also declares the attributes that
    they use.
    """

    @workflow.init
    def __init__(self, request: SessionInput) -> None:
        self._request = request
        self._limits = request.limits
        self._session = SessionContext(request)
        self._activities = self._session.activities
        self._tracker = self._session.tracker
        self._room = SessionRoom(self._session)
        self._place = AgentPlace(self._session)
        self._callers = Callers(self._session)
        self._attempts = Attempts(self._session, self._callers)
        self._reports = LastReports(self._session, self._attempts, self._room)
        self._listener = Listener(self._session)
        self._records = Records(self._session)
        self._changes = Changes(self._session)
        self._handled = HandledMessages()
        self._replacements = 0

    @workflow.run
    async def run(self, request: SessionInput) -> SessionResult:
        """Run the session; a cancel of the workflow is an end like any other."""
        work = asyncio.create_task(self._run())
        while True:
            try:
                # Shielded, because a cancel must lead through wind-down and close, not past them.
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                # The SDK cancels every task when it removes the workflow from its cache.
                if work.cancelled():
                    raise
                self._session.end_with(endings.CANCELLED)

    async def _run(self) -> SessionResult:
        self._session.evaluate_patches()
        ending = await self._call()
        # From now on no message can end the call. Wind-down still settles the outcome.
        self._session.end_with(ending)
        ending = await self._wind_down(ending)
        await self._persist()
        await self._summarise()
        return await self._close(ending)

    async def _call(self) -> Ending:
        """From the room's creation until the call has come to its end."""
        try:
            await self._room.open()
        except ActivityError as error:
            return self._session.ending or ending_of(error)
        try:
            self._callers.start_watching()
            await self._get_agent_in(endings.AGENT_NEVER_JOINED, self._limits.join_attempts)
            while True:
                lost = await self._live_until_agent_is_lost()
                await self._replace_agent(lost)
        except CallOver as over:
            return over.ending

    # ── get an agent in ──────────────────────────────────────────────────────────────────────────

    async def _get_agent_in(self, ending_without_agent: Ending, attempts: int) -> None:
        """Have an agent in the call: seen in the room and, if it is ours, ready.

        Raises:
            CallOver: the call has ended meanwhile, or all attempts failed
                (`ending_without_agent`).
        """
        clock = self._session.run_in_background(self._end_when_deadline_passes())
        try:
            await self._place.wait()
            attempt = await self._make_attempts(ending_without_agent, attempts)
        finally:
            clock.cancel()
        self._tracker.agent_joined(attempt, self._limits.max_duration, self._live_waits_for())
        self._listener.start(attempt)
        if attempt.external:
            # It runs on none of the servers that the places are on.
            self._place.start_releasing()
        await self._records.write()

    async def _make_attempts(self, ending_without_agent: Ending, attempts: int) -> Attempt:
        for tries in range(attempts):
            if tries:
                self._tracker.wait_for(WaitingFor.RETRY)
                seconds = self._limits.join_pause(tries)
                await until(
                    lambda: self._session.ending is not None, seconds, "before the next attempt"
                )
            self._require_no_ending()
            attempt = await self._attempts.make()
            if attempt.in_call:
                return attempt
            self._require_no_ending()
            if attempt.state is AttemptState.FAILED and not self._tracker.status.joins:
                # It says why, so it counts even if no agent appears in the attempts that follow.
                # After the first join, the loss of the agent that was in the call counts.
                ending_without_agent = endings.agent_failed(attempt.problem or "")
            await self._attempts.retract_all_up_to(attempt)
            if not attempt.worth_retrying:
                break
            if not self._tracker.status.joins:
                # Customers' webhooks hear of each failed attempt; the record starts with the
                # first join.
                self._records.announce()
        if self._session.revised_ending_2:
            self._require_no_ending()
        raise CallOver(
            endings.explained(ending_without_agent, self._attempts.current, self._request.no_agent)
        )

    def _require_no_ending(self) -> None:
        if self._session.ending:
            raise CallOver(self._session.ending)

    # ── live ─────────────────────────────────────────────────────────────────────────────────────

    async def _live_until_agent_is_lost(self) -> Attempt:
        """Let the call go on; returns the attempt whose agent is lost and has to be replaced.

        Raises:
            CallOver: the call has ended.
        """
        while True:
            await self._with_clock(self._attempts.check_for_loss())
            ending = self._reason_to_end()
            if ending:
                raise CallOver(ending)
            attempt = self._attempts.current
            if attempt and self._has_to_be_replaced(attempt):
                return attempt
            if attempt and attempt.state is AttemptState.LOST:
                self._tracker.agent_lost_without_caller(attempt)
            self._tracker.enter(SessionState.LIVE, self._live_waits_for())
            version = self._tracker.status.version
            await self._session.until(
                lambda known=version: self._tracker.status.version != known,
                self._seconds_to_next_check(),
                f"at the latest: {self._tracker.status.waiting_for.value} or maximum duration",
            )

    def _reason_to_end(self) -> Ending | None:
        if self._session.ending:
            return self._session.ending
        if self._callers.absence_ends_call():
            return endings.CALLER_LEFT if self._callers.ever_came else endings.CALLER_NEVER_JOINED
        if passed(self._tracker.status.deadline):
            return endings.MAX_DURATION
        return None

    def _has_to_be_replaced(self, attempt: Attempt) -> bool:
        """Whether to replace the agent now.

        While a caller is away, replacement waits for their return.
        """
        if attempt.state is not AttemptState.LOST:
            return False
        caller_is_away = self._callers.ever_came and not self._callers.present
        return attempt.replaced_on_request or not caller_is_away

    async def _with_clock(self, step: Awaitable[None]) -> None:
        """Wait for a step of the live call, which may end in time meanwhile."""
        if not self._session.revised_ending_2:
            await step
            return
        clock = self._session.run_in_background(self._end_when_deadline_passes())
        try:
            await step
        finally:
            clock.cancel()

    async def _end_when_deadline_passes(self) -> None:
        """End the call in time while `_live_until_agent_is_lost` does not watch the time.

        Before the first agent, only a caller who came and left can end it in this way. Each turn of
        the loop waits: a time of `_next_deadline` that has passed is a reason to end.
        """
        while not (ending := self._reason_to_end()):
            deadline = self._next_deadline()
            await self._session.until(
                lambda known=deadline: (
                    self._session.ending is not None or self._next_deadline() != known
                ),
                seconds_to(deadline),
                "the call's time, while it has no agent",
            )
        self._session.end_with(ending)

    def _next_deadline(self) -> datetime | None:
        """When time alone ends the call; None if nothing is due."""
        # A deadline of the caller's absence that has passed waits for a check of the room. It ends
        # the call only after that, so until then it is no time to wait for.
        missed_at = None if self._callers.absence_to_check() else self._callers.absence_deadline()
        times = (missed_at, self._tracker.status.deadline)
        return min((at for at in times if at), default=None)

    def _seconds_to_next_check(self) -> float | None:
        attempt = self._attempts.current
        overdue_at = attempt.overdue_at(self._limits.lost_report_grace) if attempt else None
        return seconds_to(self._next_deadline(), overdue_at)

    def _live_waits_for(self) -> WaitingFor:
        if self._callers.present:
            return WaitingFor.CALL_END
        return WaitingFor.CALLER_RETURN if self._callers.ever_came else WaitingFor.CALLER

    async def _replace_agent(self, lost: Attempt) -> None:
        """Get a new agent into the same room; it asks the API for the turns so far.

        Raises:
            CallOver: there was no other agent, or the call has ended meanwhile.
        """
        ending = endings.agent_lost(f"the agent of attempt {lost.number} is lost: {lost.problem}")
        self._tracker.agent_lost(ending.text)
        if not lost.replaced_on_request:
            if self._replacements >= self._limits.max_replacements:
                raise CallOver(ending)
            self._replacements += 1
        await self._with_clock(self._attempts.retract_all_up_to(lost))
        await self._with_clock(self._listener.stop(lost))
        attempts = self._limits.join_attempts
        if lost.replaced_on_request and self._session.patched(REDISPATCH_NEEDS_FREE_PLACE):
            # A healthy agent was removed: one failed dispatch must not end its call.
            attempts = max(attempts, MIN_ATTEMPTS_ON_REQUEST)
        await self._get_agent_in(ending, attempts)

    # ── wind down ────────────────────────────────────────────────────────────────────────────────

    async def _wind_down(self, ending: Ending) -> Ending:
        """Have the agent finish, and give its report time to come; returns the settled ending.

        Callers are disconnected as soon as their agent is gone; the session still waits for the
        report. The exception is the room of an external agent: it stays for the report, because a
        report without a callback token is assigned to its session by the room.
        """
        self._callers.stop_watching()
        recovering = self._tracker.status.state is SessionState.RECOVERING
        if self._should_look_for_caller(ending):
            await self._callers.look_once()
        attempt = self._attempts.current
        self._tracker.call_over(ending, waits=not (attempt and attempt.reported_all()))
        await self._records.write()
        if attempt and not attempt.report:
            if attempt.state is AttemptState.READY:
                await self._reports.collect(attempt, ending)
            # An agent that is lost, has failed or was never ready has no report to wait for.
            elif self._room.may_exist and attempt.state is not AttemptState.CLOSED:
                await self._attempts.retract_all_up_to(attempt)
        self._place.start_releasing()
        if attempt:
            attempt.close()
            await self._reports.collect_removed_agents(attempt)
        await self._listener.stop(attempt)
        self._room.start_deleting()
        return endings.settled(
            ending,
            attempt,
            ever_joined=self._tracker.status.joins > 0,
            recovering=recovering,
            caller_came=self._callers.ever_came or bool(attempt and attempt.heard_caller()),
        )

    def _should_look_for_caller(self, ending: Ending) -> bool:
        """Whether the outcome is open, and LiveKit's webhooks have reported no caller."""
        joined = self._tracker.status.joins > 0 and ending.outcome is None
        return self._session.revised_ending and joined and not self._callers.ever_came

    # ── persist, summarise ───────────────────────────────────────────────────────────────────────

    async def _persist(self) -> None:
        """Seal the transcript; when MongoDB is down, a child workflow does so once it is back."""
        if not self._request.archive:
            return
        self._tracker.enter(SessionState.PERSISTING, WaitingFor.ARCHIVE)
        # 0: no attempt was made.
        order = self._activities.transcript_to_seal(self._tracker.status.attempt)
        try:
            complete = await self._activities.seal_transcript(order)
        except ActivityError as error:
            self._tracker.archive_deferred(reason_of(error))
            # The archive workflow also starts the summary.
            await start_archive(order)
            return
        self._tracker.archived(complete)

    async def _summarise(self) -> None:
        """Have a child workflow summarise the transcript; a slow model never holds the room."""
        if not self._tracker.status.archived:
            return
        self._tracker.enter(SessionState.SUMMARISING, WaitingFor.SUMMARY)
        summary = await start_summary(self._request.key, self._request.config.analysis)
        wait = self._limits.summary_wait
        if summary and await self._session.until(summary.done, wait, "the summary"):
            try:
                self._tracker.summarised((await summary).value)
            except ChildWorkflowError:
                self._tracker.summarised("failed")
        else:
            self._tracker.summarised("pending")

    # ── close ────────────────────────────────────────────────────────────────────────────────────

    async def _close(self, ending: Ending) -> SessionResult:
        """Set the terminal state in bounded time; run on until everything is cleaned up."""
        self._tracker.enter(SessionState.CLOSING, WaitingFor.ROOM_DELETION)
        await self._room.delete_within_limit()
        if self._room.may_exist:
            self._callers.cancel_check()
        closed_at = self._tracker.close(ending)
        self._records.stop_announcing()
        # LiveKit may be down for long: that the session is closed is recorded without it.
        early = asyncio.create_task(self._records.write_final()) if self._room.may_exist else None
        # In parallel: a MongoDB that is down must not hold up the room, nor LiveKit the slot.
        freed = asyncio.create_task(self._free_slot())
        await self._room.delete_until_gone()
        if early:
            await early
        # Now the record can say that the room is gone.
        await self._records.write_final()
        await freed
        await self._session.background_ended()
        await until(workflow.all_handlers_finished)
        outcome = ending.outcome or Outcome.FAILED
        return SessionResult(
            outcome=outcome,
            end_reason=ending.reason,
            closed_at=closed_at,
            metadata=self._request.metadata,
        )

    async def _free_slot(self) -> None:
        if self._request.slot:
            await self._activities.free_slot()
