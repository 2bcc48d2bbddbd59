"""What is said to a session from outside.

Every handler only changes what is known; the story in `session.py` decides what follows from it.
"""

from collections import Counter
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.errors import Conflict, IdempotencyMismatch, NoCapacity, StaleAttempt
    from domain.sessions import ending as endings
    from domain.sessions.attempts import Attempt
    from domain.sessions.ending import Ending
    from domain.sessions.messages import (
        AgentFailed,
        AgentLost,
        AgentReady,
        EndRequest,
        Extend,
        Finalise,
        Message,
        ParticipantChange,
        ParticipantChanged,
        ParticipantKind,
        ReadyAnswer,
        Redispatch,
        ReportReceived,
        WaitUntil,
    )
    from domain.sessions.presence import Presence
    from domain.sessions.session import (
        LONGEST_CALL,
        EndReason,
        SessionInput,
        SessionState,
        SessionStatus,
        Stage,
    )
    from workflows.session_activities import SessionActivities
    from workflows.status_tracker import SessionStatusTracker
    from workflows.waiting import until

REMEMBERED_EVENTS = 2_000
"""Event ids kept to recognise a message that arrives twice."""
REDISPATCH_IS_SAFE = "redispatch-needs-a-free-place"
"""Patch: the agent in the room is let go only if another one has a place, and tries to get in."""
MOST_CHANGES = {"extended": 300, "redispatched": 50, "finalised": 50}
"""How often a session can be changed in each way.

Temporal takes 2,000 updates of one workflow, and agents need some of them for their claims.
"""
OVER = (
    SessionState.ENDING,
    SessionState.PERSISTING,
    SessionState.SUMMARISING,
    SessionState.CLOSING,
    SessionState.CLOSED,
)
"""States in which the call itself is over."""


class SessionHandlers:
    """What a session knows, and the messages that change it."""

    def __init__(self, request: SessionInput) -> None:
        self._request = request
        self._limits = request.limits
        self._activities = SessionActivities(request)
        self._tracker = SessionStatusTracker(request, workflow.now())
        self._anybody = Presence()
        self._people = {request.caller_identity: Presence()}
        self._attempt: Attempt | None = None
        self._ending: Ending | None = None
        self._finalised = False
        self._seen_events: dict[str, None] = {}
        self._extensions: dict[str, float] = {}
        self._changes: Counter[str] = Counter()

    # ── signals ──────────────────────────────────────────────────────────────────────────────────

    @workflow.signal
    def end(self, request: EndRequest) -> None:
        """Somebody asks for the end of the call."""
        if self._is_new(request):
            by = f" by {request.by}" if request.by else ""
            self._end_with(Ending(request.reason, f"the end was requested{by}"))

    @workflow.signal
    def agent_failed(self, failure: AgentFailed) -> None:
        """The agent of an attempt cannot start, or cannot go on."""
        attempt = self._attempt
        if not self._is_new(failure) or attempt is None or failure.attempt != attempt.number:
            return
        if not attempt.belongs_to(failure.job_id):
            self._tracker.log(f"attempt {attempt.number}: job {failure.job_id} is not needed")
            return
        attempt.failed = attempt.failed or failure.reason
        attempt.failure_is_final = not failure.retryable
        self._tracker.log(f"attempt {attempt.number}: the agent failed: {failure.reason}")

    @workflow.signal
    def agent_lost(self, loss: AgentLost) -> None:
        """The agent is dead, by its server's word or by its server's silence."""
        attempt = self._attempt
        if not self._is_new(loss) or attempt is None or loss.attempt != attempt.number:
            return
        if attempt.dies_with(loss.job_id):
            attempt.lost = attempt.lost or loss.reason
            self._tracker.touch()

    @workflow.signal
    def report_received(self, report: ReportReceived) -> None:
        """A report came; only the current attempt's first one steers anything."""
        if not self._is_new(report):
            return
        attempt = self._attempt
        number = report.attempt or (attempt.number if attempt else 0)
        if attempt is None or number != attempt.number or attempt.report or attempt.abandoned:
            self._tracker.log(f"a report of attempt {number} is kept, it changes nothing")
            return
        attempt.report = report
        self._tracker.status.report_received = True
        self._tracker.log(
            f"attempt {number}: report of {report.turn_count} turns, {report.end_reason.value}"
        )
        if not attempt.joined:
            attempt.failed = attempt.failed or report.error or "it ended before it was ready"
        elif not report.end_reason.abandons_the_call():
            self._end_with(endings.reported(report.end_reason))

    @workflow.signal
    def participant_changed(self, change: ParticipantChanged) -> None:
        """LiveKit says that somebody came or left, or that it closed the room."""
        if not self._is_new(change) or change.change is ParticipantChange.OTHER:
            return
        if change.change is ParticipantChange.ROOM_FINISHED:
            self._end_with(endings.ROOM_LOST)
        elif change.kind is ParticipantKind.CALLER:
            self._take_in_caller(change)
        elif change.change is ParticipantChange.LEFT and change.kind is not ParticipantKind.OTHER:
            self._take_in_lost_agent(change)

    # ── updates ──────────────────────────────────────────────────────────────────────────────────

    @workflow.update
    async def agent_ready(self, claim: AgentReady) -> ReadyAnswer:
        """An agent claims an attempt; a second claim by the same job gets the same answer."""
        attempt = self._attempt
        refusal = attempt.refusal(claim) if attempt else "no agent was dispatched"
        if attempt is None or refusal:
            return ReadyAnswer(accepted=False, reason=refusal)
        attempt.claim(claim)
        self._tracker.touch()
        deadline = self._tracker.status.deadline
        left = (deadline - workflow.now()).total_seconds() if deadline else None
        return ReadyAnswer(accepted=True, remaining=left or self._limits.max_duration)

    @agent_ready.validator
    def _validate_agent_ready(self, claim: AgentReady) -> None:
        refusal = self._attempt.refusal(claim) if self._attempt else "no agent was dispatched"
        if refusal:
            raise _refusal(StaleAttempt.code, refusal)
        if self._tracker.status.state in OVER:
            raise _refusal(StaleAttempt.code, "the session is ending")

    @workflow.update
    async def wait_until(self, wait: WaitUntil) -> SessionStatus:
        """Answers when the stage is reached, or when it cannot be any more."""
        status = self._tracker.status
        await until(lambda: _reached(status, wait.stage))
        return status.model_copy(update={"timeline": []})

    @wait_until.validator
    def _validate_wait_until(self, wait: WaitUntil) -> None:
        if wait.request_digest not in (None, self._request.request_digest):
            raise _refusal(
                IdempotencyMismatch.code, "this session was started with another request"
            )

    @workflow.update
    async def extend(self, extension: Extend) -> SessionStatus:
        """Move the maximum duration."""
        self._changes["extended"] += 1
        status = self._tracker.status
        key = extension.idempotency_key
        if status.deadline and (key is None or key not in self._extensions):
            status.deadline += timedelta(seconds=extension.seconds)
            if key is not None:
                self._extensions[key] = extension.seconds
            self._tracker.log(f"extended by {extension.seconds:g} s")
        return status.model_copy(update={"timeline": []})

    @extend.validator
    def _validate_extend(self, extension: Extend) -> None:
        self._refuse_too_many("extended")
        seconds = self._extensions.get(extension.idempotency_key or "")
        if seconds == extension.seconds:
            return
        if seconds is not None:
            raise _refusal(
                IdempotencyMismatch.code, "this key has extended the session by other seconds"
            )
        status = self._tracker.status
        if status.joined_at is None or status.deadline is None or status.state in OVER:
            raise _refusal(Conflict.code, "only a call in progress can be extended")
        longest = status.joined_at + timedelta(seconds=LONGEST_CALL)
        if status.deadline + timedelta(seconds=extension.seconds) > longest:
            raise _refusal(Conflict.code, "a call lasts 24 hours at the most")

    @workflow.update
    async def redispatch(self, order: Redispatch) -> SessionStatus:
        """Replace the agent by a new one; refused, with nothing changed, if none has a place."""
        self._changes["redispatched"] += 1
        attempt = self._attempt
        if workflow.patched(REDISPATCH_IS_SAFE):
            await self._require_free_place()
            if self._attempt is not attempt:
                raise _refusal(Conflict.code, "the agent was replaced meanwhile")
            self._validate_redispatch(order)
        if attempt:
            attempt.lost = f"replaced by {order.by or 'an operator'}"
            attempt.replaced_by_order = True
        self._tracker.touch()
        return self._tracker.status.model_copy(update={"timeline": []})

    @redispatch.validator
    def _validate_redispatch(self, order: Redispatch) -> None:
        self._refuse_too_many("redispatched")
        if self._tracker.status.state is not SessionState.LIVE:
            raise _refusal(Conflict.code, "an agent can be replaced only in a live call")

    @workflow.update
    async def finalise(self, order: Finalise) -> SessionStatus:
        """Stop waiting for the report and close."""
        self._changes["finalised"] += 1
        self._finalised = True
        self._end_with(Ending(EndReason.OPERATOR, f"finalised by {order.by or 'an operator'}"))
        self._tracker.touch()
        return self._tracker.status.model_copy(update={"timeline": []})

    @finalise.validator
    def _validate_finalise(self, order: Finalise) -> None:
        self._refuse_too_many("finalised")
        # The workflow goes on for a moment, until the end is recorded and the room is gone.
        if self._tracker.status.state is SessionState.CLOSED:
            raise _refusal(Conflict.code, "the session is closed")

    async def _require_free_place(self) -> None:
        """Raise if it is known that no agent server would take a dispatch."""
        try:
            free = await self._activities.count_free_places()
        except ActivityError:
            # MongoDB is away: as without it, nobody knows.
            return
        if free == 0:
            name = self._request.agent_name
            raise _refusal(
                NoCapacity.code, f"no agent server named {name!r} has a free place for a new agent"
            )

    # ── query ────────────────────────────────────────────────────────────────────────────────────

    @workflow.query
    def status(self) -> SessionStatus:
        """What can be seen of the session now."""
        return self._tracker.status

    # ── what follows from a message ──────────────────────────────────────────────────────────────

    def _refuse_too_many(self, change: str) -> None:
        most = MOST_CHANGES[change]
        if self._changes[change] >= most:
            raise _refusal(Conflict.code, f"a session can be {change} {most} times at the most")

    def _is_new(self, message: Message) -> bool:
        if message.event_id in self._seen_events:
            return False
        self._seen_events[message.event_id] = None
        if len(self._seen_events) > REMEMBERED_EVENTS:
            del self._seen_events[next(iter(self._seen_events))]
        return True

    def _end_with(self, ending: Ending) -> None:
        """The first reason to end is the reason."""
        if self._ending is None and self._tracker.status.state not in OVER:
            self._ending = ending
            self._tracker.touch()

    @property
    def _presence(self) -> Presence:
        """Of whoever the agent talks to: ours hears the session's caller alone."""
        foreign = self._attempt is not None and self._attempt.foreign
        return self._anybody if foreign else self._people[self._request.caller_identity]

    def _take_in_caller(self, change: ParticipantChanged) -> None:
        self._anybody.apply(change, workflow.now())
        person = self._people.setdefault(change.identity or "", Presence())
        news = person.apply(change, workflow.now())
        self._tracker.status.caller_present = self._presence.present
        if news:
            who = "caller" if self._presence in (person, self._anybody) else "somebody else:"
            what = "is in the room" if person.present else "left the room"
            if change.change is ParticipantChange.NOT_SEEN:
                what = "is not in the room any more"
            self._tracker.log(f"{who} {change.identity} {what}")

    def _take_in_lost_agent(self, change: ParticipantChanged) -> None:
        attempt = self._attempt
        if attempt is None or change.identity != attempt.agent_identity or attempt.abandoned:
            return
        attempt.left_at = attempt.left_at or workflow.now()
        attempt.left_detail = change.detail
        self._tracker.log(f"agent {change.identity} left the room ({change.detail or 'no reason'})")


def _reached(status: SessionStatus, stage: Stage) -> bool:
    if status.state in OVER:
        return True
    if stage is Stage.JOINED:
        return status.joins > 0
    return stage is Stage.ACCEPTED or status.agent_dispatched


def _refusal(code: str, reason: str) -> ApplicationError:
    return ApplicationError(reason, type=code, non_retryable=True)
