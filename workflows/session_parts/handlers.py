"""The messages to a session: signals, updates and the query.

A handler changes what the parts of the session know; the chapters in `session.py` decide what
follows from it. Only `wait_until` and `redispatch` wait before they answer.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.errors import Conflict, IdempotencyMismatch, StaleAttempt
    from domain.sessions import ending as endings
    from domain.sessions.end_reasons import EndReason
    from domain.sessions.ending import Ending
    from domain.sessions.messages import (
        AgentFailed,
        AgentLost,
        AgentReady,
        DeliverMessage,
        EndRequest,
        Extend,
        Finalise,
        ParticipantChange,
        ParticipantChanged,
        ParticipantKind,
        PlaceChanged,
        ReadyAnswer,
        Redispatch,
        ReportReceived,
        WaitUntil,
    )
    from domain.sessions.session import SessionInput, SessionStatus
    from workflows.session_parts.attempts import Attempts
    from workflows.session_parts.callers import Callers
    from workflows.session_parts.changes import Changes, refused
    from workflows.session_parts.context import SessionContext
    from workflows.session_parts.last_reports import LastReports
    from workflows.session_parts.messages import HandledMessages
    from workflows.session_parts.place import AgentPlace
    from workflows.session_parts.status_tracker import SessionStatusTracker
    from workflows.waiting import until

REDISPATCH_NEEDS_FREE_PLACE = "redispatch-needs-a-free-place"
"""Patch: an agent is replaced only if an agent server has a free place for the new one.

`session.MIN_ATTEMPTS_ON_REQUEST` came with the same release, and is behind the same patch.
"""


class SessionHandlers:
    """The messages to a session. It has no state of its own: `SessionWorkflow` sets these."""

    _request: SessionInput
    _session: SessionContext
    _tracker: SessionStatusTracker
    _callers: Callers
    _attempts: Attempts
    _place: AgentPlace
    _changes: Changes
    _handled: HandledMessages
    _reports: LastReports

    # ── signals ───────────────────────────────────────────────────────────

    @workflow.signal
    def end(self, request: EndRequest) -> None:
        """Somebody requests the end of the call."""
        if self._handled.is_new(request):
            by = f" by {request.by}" if request.by else ""
            self._session.end_with(Ending(request.reason, f"the end was requested{by}"))

    @workflow.signal
    def agent_failed(self, failure: AgentFailed) -> None:
        """The agent of an attempt cannot start, or cannot go on."""
        if self._handled.is_new(failure):
            self._attempts.agent_failed(failure)

    @workflow.signal
    def agent_lost(self, loss: AgentLost) -> None:
        """The agent is dead: its server says so, or its server is silent."""
        if self._handled.is_new(loss):
            self._attempts.agent_lost(loss)

    @workflow.signal
    def report_received(self, report: ReportReceived) -> None:
        """A report came; the agent may have ended the call by it."""
        if self._handled.is_new(report):
            self._attempts.report_received(report)

    @workflow.signal
    def participant_changed(self, change: ParticipantChanged) -> None:
        """LiveKit reports that somebody came or left, or that it closed the room."""
        if not self._handled.is_new(change) or change.change is ParticipantChange.OTHER:
            return
        if change.change is ParticipantChange.ROOM_FINISHED:
            self._session.end_with(endings.ROOM_LOST)
        elif change.kind is ParticipantKind.CALLER:
            self._callers.record(change)
        elif change.kind is ParticipantKind.OTHER:
            return
        elif change.change is ParticipantChange.LEFT:
            self._attempts.agent_left(change)
        elif change.change is ParticipantChange.JOINED and self._session.revised_ending:
            self._attempts.unassigned_agent_joined(change)

    @workflow.signal
    def place_changed(self, change: PlaceChanged) -> None:
        """The session has moved in the queue for an agent server's place, or has got it."""
        if self._handled.is_new(change):
            self._place.changed(change)

    # ── updates and the query ────────────────────────────────────────────────────────────────────

    @workflow.update
    async def agent_ready(self, claim: AgentReady) -> ReadyAnswer:
        """An agent claims an attempt; a second claim by the same job gets the same answer."""
        attempt, reason = self._attempts.current, self._attempts.refusal(claim)
        if attempt is None or reason:
            return ReadyAnswer(accepted=False, reason=reason)
        attempt.claim(claim)
        self._tracker.touch()
        left = self._tracker.status.seconds_left(workflow.now())
        remaining = self._request.limits.max_duration if left is None else left
        return ReadyAnswer(accepted=True, remaining=remaining)

    @agent_ready.validator
    def _validate_agent_ready(self, claim: AgentReady) -> None:
        reason = self._attempts.refusal(claim)
        if reason:
            raise refused(StaleAttempt.code, reason)
        if self._tracker.status.state.call_is_over():
            raise refused(StaleAttempt.code, "the session is ending")

    @workflow.update
    async def wait_until(self, wait: WaitUntil) -> SessionStatus:
        """Answers when the stage is reached, or when it cannot be any more."""
        await until(lambda: self._tracker.status.has_reached(wait.stage))
        return self._tracker.status.without_timeline()

    @wait_until.validator
    def _validate_wait_until(self, wait: WaitUntil) -> None:
        if wait.request_digest not in (None, self._request.request_digest):
            raise refused(IdempotencyMismatch.code, "this session was started with another request")

    @workflow.update
    async def extend(self, extension: Extend) -> SessionStatus:
        """Move the maximum duration."""
        self._changes.extend(extension)
        return self._tracker.status.without_timeline()

    @extend.validator
    def _validate_extend(self, extension: Extend) -> None:
        self._changes.require_one_left("extended")
        self._changes.require_extendable(extension)

    @workflow.update
    async def redispatch(self, order: Redispatch) -> SessionStatus:
        """Replace the agent by a new one; refused, with nothing changed, if none has a place."""
        self._changes.count("redispatched")
        attempt = self._attempts.current
        if self._session.patched(REDISPATCH_NEEDS_FREE_PLACE):
            await self._changes.require_free_place()
            if self._attempts.current is not attempt:
                raise refused(Conflict.code, "the agent was replaced meanwhile")
            self._changes.require_live()
        if attempt:
            attempt.request_replacement(order.by or "an operator")
        self._tracker.touch()
        return self._tracker.status.without_timeline()

    @redispatch.validator
    def _validate_redispatch(self, order: Redispatch) -> None:
        self._changes.require_one_left("redispatched")
        self._changes.require_live()

    @workflow.update
    async def finalise(self, order: Finalise) -> SessionStatus:
        """Stop waiting for the report and close."""
        self._changes.count("finalised")
        self._reports.stop_waiting = True
        by = order.by or "an operator"
        self._session.end_with(Ending(EndReason.OPERATOR, f"finalised by {by}"))
        self._tracker.touch()
        return self._tracker.status.without_timeline()

    @finalise.validator
    def _validate_finalise(self, order: Finalise) -> None:
        self._changes.require_one_left("finalised")
        self._changes.require_open()

    @workflow.update
    async def deliver(self, delivery: DeliverMessage) -> None:
        """A signal that Temporal does not take any more, because there were so many."""
        self._changes.count("delivered")
        if delivery.end:
            self.end(delivery.end)
        if delivery.agent_failed:
            self.agent_failed(delivery.agent_failed)
        if delivery.agent_lost:
            self.agent_lost(delivery.agent_lost)
        if delivery.report:
            self.report_received(delivery.report)
        if delivery.participant:
            self.participant_changed(delivery.participant)

    @deliver.validator
    def _validate_deliver(self, delivery: DeliverMessage) -> None:
        self._changes.require_one_left("delivered")

    @workflow.query
    def status(self) -> SessionStatus:
        """What can be seen of the session now."""
        return self._tracker.status
