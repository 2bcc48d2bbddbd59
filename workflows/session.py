"""A session: one call with an agent, from the room's creation to its deletion.

Read `_run` first, then the chapters in its order: get an agent in, live, wind down, persist,
summarise, close. Each part that they use is a module of `session_parts/`: `activities.py` has every
step with its time limits and retries, `handlers.py` receives the messages from outside.

Temporal in one minute: a workflow is code that Temporal can run again from its recorded history, so
it survives the death of every process. For that it must take the same steps again: it touches the
outside only through activities (functions that run elsewhere, with retries), and new code asks
`workflow.patched` before it takes other steps than the release that began the session. Signals and
updates are messages to it, a query reads it; their handlers run whenever this code waits. They
interrupt nothing.

An ending reaches `_call` as the exception `CallOver`. A message that ends the call sets
`_session.ending`, the first one counts, and the steps of the call turn that into `CallOver`. Every
change of what is known gives the status another version, which is what the live call waits for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from domain.errors import RoomNameTaken
    from domain.sessions import ending as endings
    from domain.sessions.attempts import Attempt, AttemptState
    from domain.sessions.end_reasons import EndReason
    from domain.sessions.ending import Ending
    from domain.sessions.messages import SessionResult
    from domain.sessions.session import Outcome, SessionInput, SessionState, WaitingFor
    from workflows.archive import start_archive, start_summary
    from workflows.failures import code_of, reason_of
    from workflows.session_parts.attempts import Attempts
    from workflows.session_parts.callers import Callers
    from workflows.session_parts.changes import Changes
    from workflows.session_parts.context import CallOver, SessionContext
    from workflows.session_parts.handlers import REDISPATCH_NEEDS_FREE_PLACE, SessionHandlers
    from workflows.session_parts.listening import Listener
    from workflows.session_parts.messages import HandledMessages
    from workflows.session_parts.records import Records
    from workflows.session_parts.room import SessionRoom
    from workflows.waiting import passed, seconds_to, until

ATTEMPTS_ON_REQUEST = 3
"""The fewest dispatch attempts when a healthy agent is replaced on request."""
AT_ONCE = 1.0
"""Seconds in which an agent that is removed usually reports."""


@workflow.defn(name="session")
class SessionWorkflow(SessionHandlers):
    """One call with an agent, with exactly one end.

    Its signals, updates and query are in `SessionHandlers`.
    """

    @workflow.init
    def __init__(self, request: SessionInput) -> None:
        self._request = request
        self._limits = request.limits
        self._session = SessionContext(request)
        self._activities = self._session.activities
        self._tracker = self._session.tracker
        self._room = SessionRoom(self._session)
        self._callers = Callers(self._session)
        self._attempts = Attempts(self._session, self._callers)
        self._listener = Listener(self._session)
        self._records = Records(self._session)
        self._changes = Changes(self._session)
        self._handled = HandledMessages()
        self._finalised = False
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
                if work.cancelled():
                    raise
                self._session.end_with(endings.CANCELLED)

    async def _run(self) -> SessionResult:
        self._session.evaluate_patches()
        ending = await self._call()
        # From now on nothing else can end the call, and nobody may change it.
        self._session.end_with(ending)
        ending = await self._wind_down(ending)
        await self._persist()
        await self._summarise()
        return await self._close(ending)

    async def _call(self) -> Ending:
        """From the room's creation until the call has come to its end."""
        try:
            await self._room.open()
            self._callers.start_watching()
            await self._get_agent_in(endings.AGENT_NEVER_JOINED, self._limits.join_attempts)
            while True:
                lost = await self._live_until_agent_is_lost()
                await self._replace_agent(lost)
        except CallOver as over:
            return over.ending
        except ActivityError as error:
            return self._session.ending or _ending_of_failure(error)

    # ── get an agent in ──────────────────────────────────────────────────────────────────────────

    async def _get_agent_in(self, ending_without_agent: Ending, attempts: int) -> None:
        """Have an agent in the call: seen in the room and, if it is ours, ready.

        Raises:
            CallOver: the call has ended meanwhile, or none of so many attempts succeeded
                (`ending_without_agent`).
        """
        clock = self._session.run_in_background(self._end_when_time_is_up())
        try:
            attempt = await self._make_attempts(ending_without_agent, attempts)
        finally:
            clock.cancel()
        self._tracker.agent_joined(attempt, self._limits.max_duration, self._live_waits_for())
        self._listener.start(attempt)
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
                ending_without_agent = endings.agent_failed(attempt.problem or "")
            await self._attempts.retract(attempt)
            if not attempt.worth_retrying:
                break
            if not self._tracker.status.joins:
                # Before the first join there is no record, so webhooks are told without one.
                self._records.announce()
        raise CallOver(ending_without_agent)

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
            await self._attempts.notice_loss()
            ending = self._reason_to_end()
            if ending:
                raise CallOver(ending)
            attempt = self._attempts.current
            if attempt and self._has_to_be_replaced(attempt):
                return attempt
            if attempt and attempt.state is AttemptState.LOST:
                self._tracker.agent_lost_without_caller(attempt)
            self._tracker.enter(SessionState.LIVE, self._live_waits_for())
            # Every change of what is known gives the status another version.
            version = self._tracker.status.version
            await until(
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
        """Whether the agent is lost, and there is, or may come, a caller: not while one is away."""
        if attempt.state is not AttemptState.LOST:
            return False
        caller_is_away = self._callers.ever_came and not self._callers.present
        return attempt.replaced_on_request or not caller_is_away

    async def _end_when_time_is_up(self) -> None:
        """End the call in time while it has no agent.

        Before the first agent, only a caller who came and left can end it in this way.
        """
        while not (ending := self._reason_to_end()):
            ends_at = self._ends_at()
            await until(
                lambda known=ends_at: self._session.ending is not None or self._ends_at() != known,
                seconds_to(ends_at),
                "the call's time, while it has no agent",
            )
        self._session.end_with(ending)

    def _ends_at(self) -> datetime | None:
        """When time alone ends the call; None if nothing is due."""
        # Once the caller is missed, a check of the room decides, not the time.
        missed_at = None if self._callers.absence_to_check() else self._callers.absence_deadline()
        times = (missed_at, self._tracker.status.deadline)
        return min((at for at in times if at), default=None)

    def _seconds_to_next_check(self) -> float | None:
        attempt = self._attempts.current
        overdue_at = attempt.overdue_at(self._limits.lost_report_grace) if attempt else None
        return seconds_to(self._ends_at(), overdue_at)

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
        await self._attempts.retract(lost)
        await self._listener.stop(lost)
        attempts = self._limits.join_attempts
        if lost.replaced_on_request and workflow.patched(REDISPATCH_NEEDS_FREE_PLACE):
            # A healthy agent was removed: one failed dispatch must not end its call.
            attempts = max(attempts, ATTEMPTS_ON_REQUEST)
        await self._get_agent_in(ending, attempts)

    # ── wind down ────────────────────────────────────────────────────────────────────────────────

    async def _wind_down(self, ending: Ending) -> Ending:
        """Have the agent finish, and give its report time to come; returns the settled ending.

        Callers are disconnected as soon as their agent is gone; the session still waits for the
        report.
        """
        self._callers.stop_watching()
        recovering = self._tracker.status.state is SessionState.RECOVERING
        if self._nobody_came(ending):
            await self._callers.look_once()
        self._tracker.call_over(ending)
        await self._records.write()
        attempt = self._attempts.current
        if attempt and not attempt.report:
            if attempt.state is AttemptState.READY:
                await self._collect_report(attempt, ending)
            elif self._room.to_delete and attempt.state is not AttemptState.ABANDONED:
                await self._attempts.retract(attempt)
        if attempt:
            attempt.abandon()
        await self._listener.stop(attempt)
        self._room.start_deleting()
        return endings.settled(
            ending,
            attempt,
            ever_joined=self._tracker.status.joins > 0,
            recovering=recovering,
            caller_came=self._callers.ever_came or bool(attempt and attempt.heard_caller()),
        )

    def _nobody_came(self, ending: Ending) -> bool:
        """Whether the outcome is open, and LiveKit's webhooks have reported no caller."""
        joined = self._tracker.status.joins > 0 and ending.outcome is None
        return self._session.revised_ending and joined and not self._callers.ever_came

    async def _collect_report(self, attempt: Attempt, ending: Ending) -> None:
        """Ask the agent to finish; if it does not, remove it, for its end hook sends a report, too.

        External agents understand no request: they are removed at once.
        """

        def over() -> bool:
            dead = self._session.revised_ending and attempt.state is AttemptState.LOST
            return self._finalised or attempt.report is not None or dead

        # An agent that fails as it finishes reports that as well, so its report is waited for.
        grace = self._limits.report_grace
        attempt.asked_to_finish = True
        await self._tell_agent(self._activities.ask_agents_to_finish, attempt, ending)
        self._session.run_in_background(self._let_callers_go_after(attempt))
        if not await until(over, grace * 2 / 3, "the agent's report"):
            await self._tell_agent(self._activities.remove_agents, attempt, ending)
            self._room.start_deleting()
            await until(over, grace / 3, "the removed agent's report")
        if not attempt.report:
            self._tracker.log("no report came, the streamed turns are what there is")

    async def _let_callers_go_after(self, attempt: Attempt) -> None:
        """Let the callers go as soon as this agent, which finishes, is not in the room any more."""
        was_removed = attempt.external and self._session.sure_ending
        # If no report comes at once, the room stays for it, as the older backend's did, but without
        # the callers.
        if was_removed and not await until(lambda: attempt.gone or bool(attempt.report), AT_ONCE):
            await self._room.remove_callers()
        # `_wind_down` abandons the attempt, at the latest.
        await until(lambda: attempt.gone or (attempt.left_at is not None and not attempt.external))
        self._room.start_deleting()

    async def _tell_agent(
        self, step: Callable[[str, str | None], Awaitable[int]], attempt: Attempt, ending: Ending
    ) -> None:
        # None: every agent that is in the room.
        identity = None if attempt.external else attempt.agent_identity
        try:
            await step(ending.reason.value, identity)
        except ActivityError as error:
            self._tracker.log(f"the agent could not be told: {reason_of(error)}")

    # ── persist, summarise ───────────────────────────────────────────────────────────────────────

    async def _persist(self) -> None:
        """Seal the transcript; when MongoDB is down, a child workflow does so once it is back."""
        if not self._request.archive:
            return
        self._tracker.enter(SessionState.PERSISTING, WaitingFor.ARCHIVE)
        attempt = self._attempts.current
        order = self._activities.transcript_to_seal(attempt.number if attempt else 0)
        try:
            complete = await self._activities.seal_transcript(order)
        except ActivityError as error:
            self._tracker.archive_deferred(reason_of(error))
            # It has the transcript summarised as well.
            await start_archive(order)
            return
        self._tracker.archived(complete)

    async def _summarise(self) -> None:
        """Have the transcript summarised by a child workflow; a slow model never holds the room."""
        if not self._tracker.status.archived:
            return
        self._tracker.enter(SessionState.SUMMARISING, WaitingFor.SUMMARY)
        summary = await start_summary(self._request.key, self._request.config.analysis)
        if summary and await until(summary.done, self._limits.summary_wait, "the summary"):
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
        closed_at = self._tracker.close(ending)
        self._records.stop_announcing()
        # LiveKit may be down for long: that the session is closed is recorded without it.
        early = asyncio.create_task(self._records.write_final()) if self._room.to_delete else None
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
        return SessionResult(outcome=outcome, end_reason=ending.reason, closed_at=closed_at)

    async def _free_slot(self) -> None:
        if self._request.slot:
            await self._activities.free_slot()


def _ending_of_failure(error: ActivityError) -> Ending:
    """A step that could not be done in its time ends the session, with the reason."""
    taken = code_of(error) == RoomNameTaken.code
    end_reason = EndReason.ROOM_NAME_TAKEN if taken else EndReason.FAILED
    return Ending(end_reason, reason_of(error), Outcome.FAILED)
