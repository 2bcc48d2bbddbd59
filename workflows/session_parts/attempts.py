"""The dispatch attempts of a session: how an agent gets into the room, and how it is lost."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.joining import AgentSeen
    from domain.errors import NotFound
    from domain.sessions import ending as endings
    from domain.sessions.attempts import Attempt, AttemptState
    from domain.sessions.messages import (
        AgentFailed,
        AgentLost,
        AgentReady,
        ParticipantChanged,
        ReportReceived,
    )
    from domain.sessions.session import WaitingFor
    from workflows.failures import code_of, is_final, reason_of, was_cancelled
    from workflows.session_parts.callers import Callers
    from workflows.session_parts.context import SessionContext
    from workflows.waiting import passed, retrieve_exception, seconds_to, until

MAX_STRAY_CHECKS = 10
"""At most this many agents that carry no attempt are checked in one session."""


class Attempts:
    """Makes attempts, one after the other, and handles what is reported about the current one."""

    def __init__(self, session: SessionContext, callers: Callers) -> None:
        self._session = session
        self._callers = callers
        self.current: Attempt | None = None
        """The last attempt that was made; None before the first."""
        self._unassigned: set[str] = set()
        """Agents that carry no attempt, and that LiveKit's webhooks have reported."""
        self._strays: set[str] = set()
        """Agents that belong to no attempt, as the timeline says."""

    # ── one attempt ──────────────────────────────────────────────────────────────────────────────

    async def make(self) -> Attempt:
        """Dispatch one agent, and wait until it is in the call, has failed, or its time is over."""
        tracker = self._session.tracker
        attempt = self.current = self.current.next_attempt() if self.current else Attempt(1)
        number = attempt.number
        tracker.begin_attempt(number)
        try:
            dispatch = self._session.activities.dispatch_agent(attempt)
            await self._session.cancel_if_call_ends(dispatch)
        except ActivityError as error:
            self._dispatch_failed(attempt, error)
            return attempt
        tracker.dispatched(number)
        if number == 1 and self._session.request.no_agent:
            tracker.log(self._session.request.no_agent)
        await self._await_appearance(attempt)
        if attempt.state is AttemptState.APPEARED:
            await self._await_claim(attempt)
        return attempt

    def _dispatch_failed(self, attempt: Attempt, error: ActivityError) -> None:
        if was_cancelled(error):
            attempt.notes.append("the call ended during its dispatch")
            return
        attempt.notes.append(f"dispatch failed: {reason_of(error)}")
        if code_of(error) == NotFound.code:
            self._session.end_with(endings.ROOM_LOST)
        elif is_final(error):
            attempt.fail(reason_of(error))
            attempt.worth_retrying = False

    async def _await_appearance(self, attempt: Attempt) -> None:
        """Wait until the agent participant is ACTIVE in the room: nothing less is evidence."""
        self._session.tracker.wait_for(WaitingFor.AGENT_JOIN)
        look = self._session.activities.await_agent(attempt.number)
        retrieve_exception(look)
        await until(lambda: look.done() or attempt.is_over or self._session.ending is not None)
        if not look.done():
            look.cancel()
        try:
            seen = await look
        except ActivityError as error:
            ended = "the call ended before its agent was seen" if was_cancelled(error) else None
            attempt.notes.append(attempt.problem or ended or reason_of(error))
            return
        attempt.appear(seen.identity, external=seen.foreign)
        self._callers.anybody_counts = seen.foreign
        self._callers.record_seen(seen.callers)
        self._log_strays(seen)

    async def _await_claim(self, attempt: Attempt) -> None:
        """Wait until our agent worker claims the attempt: it can hear, think and speak."""
        self._session.tracker.wait_for(WaitingFor.AGENT_READY)
        ready_timeout = self._session.limits.ready_timeout
        in_time = await until(
            lambda: attempt.joined or attempt.is_over or self._session.ending is not None,
            ready_timeout,
            "the agent's claim that it is ready",
        )
        if not in_time:
            attempt.notes.append(f"in the room, but not ready in {ready_timeout:g} s")
        elif attempt.problem:
            attempt.notes.append(attempt.problem)

    async def retract_all_up_to(self, attempt: Attempt) -> None:
        """Close an attempt, and remove all dispatches and agents so far.

        So the next agent finds none of them, unless LiveKit does not answer for too long.
        """
        attempt.close()
        tracker = self._session.tracker
        if attempt.notes:
            tracker.log(f"attempt {attempt.number} failed: {'; '.join(attempt.notes)}")
        try:
            removed = await self._session.activities.retract_attempts(attempt.number)
        except ActivityError as error:
            tracker.log(f"attempt {attempt.number} not removed: {reason_of(error)}")
            return
        if removed:
            tracker.log(f"removed {', '.join(removed)}")

    # ── the loss of an agent that was in the call ────────────────────────────────────────────────

    async def check_for_loss(self) -> None:
        """Conclude from what is known by now whether the current attempt's agent is lost."""
        attempt = self.current
        if attempt is None:
            return
        if passed(attempt.overdue_at(self._session.limits.lost_report_grace)):
            await self._check_that_it_left(attempt)
        reason = attempt.reason_lost()
        if reason:
            attempt.mark_lost(reason)

    async def _check_that_it_left(self, attempt: Attempt) -> None:
        """Look in the room: LiveKit reports a leave also when an agent reconnects."""
        left_at = attempt.left_at
        detail = attempt.left_detail or "no reason given"
        # What happens during the check is not forgotten: a new leave gets a check of its own.
        attempt.forget_leave()
        try:
            seen = await self._session.cancel_if_call_ends(
                self._session.activities.look_for_agent(attempt.number)
            )
        except ActivityError:
            if self._session.revised_ending_2 and self._session.ending is None:
                # LiveKit does not answer, so nothing is known: check again.
                attempt.leave(workflow.now(), detail)
                return
            seen = None
        if seen is not None and seen.identity == attempt.agent_identity:
            self._session.tracker.log(f"agent {attempt.agent_identity} is in the room again")
            self._log_strays(seen)
        elif self._session.ending is None:
            attempt.mark_lost(f"it left the room ({detail})")
        elif left_at and attempt.left_at is None and self._session.revised_ending_2:
            # The call ended before the check did.
            attempt.leave(left_at, detail)

    async def until_left_for_good(self, attempt: Attempt) -> None:
        """Wait until an agent that was asked to finish has left, and has not reconnected."""
        if attempt.left_at is not None:
            # It left before it was asked, and may be about to reconnect.
            overdue_at = attempt.overdue_at(self._session.limits.lost_report_grace)
            seconds = seconds_to(overdue_at)
            await self._session.until(lambda: attempt.is_over, seconds, "the agent may reconnect")
        while True:
            await until(lambda: attempt.is_over or attempt.left_at is not None)
            if attempt.is_over or not await self._is_there_again(attempt):
                return

    async def _is_there_again(self, attempt: Attempt) -> bool:
        # A new leave during the check is checked separately.
        attempt.forget_leave()
        look = self._session.activities.look_for_agent(attempt.number)
        retrieve_exception(look)
        await until(lambda: look.done() or attempt.is_over)
        if not look.done():
            look.cancel()
        try:
            seen = await look
        except ActivityError:
            return False
        if seen is None or seen.identity != attempt.agent_identity:
            return False
        self._session.tracker.log(f"agent {attempt.agent_identity} is in the room again")
        return True

    def unassigned_agent_joined(self, change: ParticipantChanged) -> None:
        """An agent that carries no attempt came: the external one of a dispatch, or a stray."""
        identity = change.identity or ""
        if len(self._unassigned) < MAX_STRAY_CHECKS and identity not in self._unassigned:
            self._unassigned.add(identity)
            self._session.run_in_background(self._check_for_strays(identity))

    async def _check_for_strays(self, identity: str) -> None:
        def known() -> bool:
            in_call = self.current is not None and self.current.in_call
            return in_call or self._session.tracker.status.state.call_is_over()

        await until(known)
        attempt = self.current
        if attempt is None or not attempt.in_call or identity == attempt.agent_identity:
            return
        try:
            seen = await self._session.cancel_if_call_ends(
                self._session.activities.look_for_agent(attempt.number)
            )
        except ActivityError:
            return
        if seen:
            self._log_strays(seen)

    def _log_strays(self, seen: AgentSeen) -> None:
        what = "was removed" if seen.strays_removed else "is in the room"
        for identity in seen.strays:
            if identity not in self._strays:
                self._strays.add(identity)
                text = f"agent {identity} {what}: no dispatch of this session has sent it"
                self._session.tracker.log(text)

    # ── what is reported about the current attempt ───────────────────────────────────────────────

    def refusal(self, claim: AgentReady) -> str | None:
        """Why an agent's claim is refused; None if it is accepted."""
        return self.current.refusal(claim) if self.current else "no agent was dispatched"

    def agent_failed(self, failure: AgentFailed) -> None:
        """An agent says that it cannot start, or cannot go on."""
        attempt, tracker = self.current, self._session.tracker
        if attempt is None or failure.attempt != attempt.number:
            return
        if not attempt.belongs_to(failure.job_id):
            tracker.log(
                f"attempt {attempt.number}: ignored the failure of job"
                f" {failure.job_id}, which does not hold the claim"
            )
            return
        attempt.fail(failure.reason)
        attempt.worth_retrying = failure.retryable
        tracker.log(f"attempt {attempt.number}: the agent failed: {failure.reason}")

    def agent_lost(self, loss: AgentLost) -> None:
        """An agent is dead: its server says so, or its server is silent."""
        attempt = self.current
        removed = attempt.removed_on_request if attempt else None
        for one in (attempt, removed):
            if one and loss.attempt == one.number and one.dies_with(loss.job_id):
                one.dead = True
                one.mark_lost(
                    loss.reason,
                    unanswered=loss.unanswered,
                    undelivered_turn=loss.undelivered_turn,
                )
                self._session.tracker.touch()

    def agent_left(self, change: ParticipantChanged) -> None:
        """An agent participant left the room."""
        attempt = self.current
        if attempt is None or change.identity != attempt.agent_identity:
            return
        if attempt.state is not AttemptState.CLOSED:
            attempt.leave(workflow.now(), change.detail)
            reason = change.detail or "no reason"
            self._session.tracker.log(f"agent {change.identity} left the room ({reason})")
            if attempt.deleted_room() and self._session.revised_ending:
                self._session.end_with(endings.HUNG_UP)

    def report_received(self, report: ReportReceived) -> None:
        """A report came; only the current attempt's first one steers anything."""
        attempt, tracker = self.current, self._session.tracker
        number = report.attempt or (attempt.number if attempt else 0)
        removed = attempt.removed_on_request if attempt else None
        if removed and number == removed.number:
            removed.report = removed.report or report
        already_decided = attempt is None or attempt.report or attempt.state is AttemptState.CLOSED
        if attempt is None or already_decided or number != attempt.number:
            counts = removed is not None and number == removed.number
            effect = "" if counts else " but changes nothing"
            tracker.log(f"a report of attempt {number} is stored{effect}")
            return
        attempt.take_report(report)
        tracker.status.report_received = True
        tracker.log(
            f"attempt {number}: report of {report.turn_count} turns, {report.end_reason.value}"
        )
        if attempt.joined and not report.end_reason.abandons_the_call():
            self._session.end_with(endings.reported(report.end_reason))
