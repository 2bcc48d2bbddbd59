"""One dispatch attempt of a session: from the dispatch to the agent's report."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from domain.sessions.messages import AgentReady, ReportReceived


class AttemptState(StrEnum):
    """How far an attempt is.

    `dispatched` → `appeared` → `ready` → `reported`. Each of these may become `failed` or `lost`: a
    loss becomes a failure if the agent itself reports one, a failure a loss if the agent had been
    in the call.
    Every attempt ends as `closed` once the session no longer wants its agent.
    """

    DISPATCHED = "dispatched"
    """Its agent has not been seen in the room."""
    APPEARED = "appeared"
    """Its agent is in the room, and has not claimed the attempt yet."""
    READY = "ready"
    """Its agent is in the call."""
    REPORTED = "reported"
    """Its agent has reported the end of the call."""
    FAILED = "failed"
    """Its agent reports that it cannot start or continue, or LiveKit refuses its dispatch."""
    LOST = "lost"
    """Its agent is dead, has left, or is to be replaced."""
    CLOSED = "closed"
    """The session does not want its agent any more: a claim that comes now is refused."""


@dataclass
class Attempt:
    """What is known of one attempt. Attempts are numbered from 1; only the last one is current.

    The methods are the transitions between its states; nothing else changes its state.
    """

    number: int
    external: bool = False
    """The agent has no attempt attribute: it is not our agent worker and sends no callbacks."""
    state: AttemptState = AttemptState.DISPATCHED
    joined: bool = False
    """Its agent was ready at some time, whatever came of it."""
    agent_identity: str | None = None
    """Identity of the agent participant, once it was seen ACTIVE or has claimed the attempt."""
    job_id: str | None = None
    """The job whose claim was accepted."""
    problem: str | None = None
    """Why it failed or is lost, as a sentence for people."""
    dead: bool = False
    """Its agent's process is dead: no report is on its way."""
    worth_retrying: bool = True
    """Whether another attempt may succeed after this one has failed."""
    replaced_on_request: bool = False
    """Somebody wants another agent: nothing is wrong with this one."""
    replaces: "Attempt | None" = None
    """The attempt whose healthy agent was removed on request to make room for this one."""
    asked_to_finish: bool = False
    """The call was over before its agent had reported: an error that it reports now did not end
    the call."""
    unanswered: bool = False
    """The caller had spoken to a lost agent (this attempt's, or one before it whose successors did
    not join), and it had not begun to answer."""
    undelivered_turn: str | None = None
    """Item id of a lost agent's last turn that was not stored when it was lost (this attempt's, or
    one before it whose successors did not join)."""
    left_at: datetime | None = None
    """When its participant left the room; that alone does not make it lost."""
    left_detail: str | None = None
    """LiveKit's reason for the leave."""
    report: ReportReceived | None = None
    notes: list[str] = field(default_factory=lambda: list[str]())
    """What went wrong in it, for the timeline."""

    # ── transitions ──────────────────────────────────────────────────────────────────────────────

    def appear(self, identity: str, *, external: bool) -> None:
        """Its agent participant is ACTIVE in the room."""
        self.agent_identity = identity
        self.external = external
        if self.state is AttemptState.DISPATCHED:
            self.state = AttemptState.APPEARED
            self._become_ready()

    def claim(self, claim: AgentReady) -> None:
        """Its agent claims to be ready; it may not be seen in the room yet."""
        self.job_id = claim.job_id
        self.agent_identity = claim.identity
        self._become_ready()

    def _become_ready(self) -> None:
        # An external agent claims nothing: it is ready as soon as it appears.
        if self.state is AttemptState.APPEARED and (self.external or self.job_id):
            self.state = AttemptState.READY
            self.joined = True
            self.unanswered = False
            self.undelivered_turn = None

    def take_report(self, report: ReportReceived) -> None:
        """Its agent's report came. One that comes before the agent was ready is a failure."""
        self.report = report
        self.unanswered = self.unanswered or report.unanswered
        self.undelivered_turn = report.undelivered_turn or self.undelivered_turn
        if not self.joined:
            if self.state is not AttemptState.FAILED:
                self.fail(report.error or "it ended before it was ready")
        elif self.state is AttemptState.READY:
            self.state = AttemptState.REPORTED

    def fail(self, reason: str) -> None:
        """Its agent reports that it cannot start or continue; that says more than its loss."""
        if self.state not in (AttemptState.FAILED, AttemptState.CLOSED):
            self.state = AttemptState.FAILED
            self.problem = reason

    def mark_lost(
        self, reason: str, *, unanswered: bool = False, undelivered_turn: str | None = None
    ) -> None:
        """Its agent can no longer finish the call. The first reason stays."""
        self.unanswered = self.unanswered or unanswered
        self.undelivered_turn = undelivered_turn or self.undelivered_turn
        if self.state not in (AttemptState.LOST, AttemptState.CLOSED):
            self.state = AttemptState.LOST
            self.problem = self.problem or reason

    def request_replacement(self, by: str) -> None:
        """Somebody wants another agent in its place, whatever this one does."""
        if self.state is not AttemptState.CLOSED:
            self.state = AttemptState.LOST
            self.problem = self.problem or f"replaced by {by}"
            self.replaced_on_request = True

    def next_attempt(self) -> "Attempt":
        """The attempt after this one, whose agent is not in the room any more."""
        return Attempt(
            self.number + 1,
            replaces=self.removed_on_request,
            unanswered=self.unanswered,
            undelivered_turn=self.undelivered_turn,
        )

    def close(self) -> None:
        """The session does not want its agent any more."""
        self.state = AttemptState.CLOSED

    def leave(self, at: datetime, detail: str | None) -> None:
        """Its participant left the room; it may reconnect."""
        self.left_at = self.left_at or at
        self.left_detail = detail

    def forget_leave(self) -> None:
        """Its participant is, or may be, in the room again."""
        self.left_at = self.left_detail = None

    def reported_all(self) -> bool:
        """Whether nothing more is to come: no report, no turns that a listener still writes."""
        return self.report is not None and not self.external and self.removed_on_request is None

    def heard_caller(self) -> bool:
        """Whether a report has words of the caller, or does not say whether it has.

        That is its own, or the one of the agent that was removed on request to make room for it.
        """
        reports = (self.report, self.replaces.report if self.replaces else None)
        return any(report is not None and report.caller_turns != 0 for report in reports)

    def deleted_room(self) -> bool:
        """Whether it hung up as LiveKit's SDK does, by deleting the room.

        Our own agent hands in a report instead; nobody else deletes the room of a live call.
        """
        return self.external and self.joined and self.left_detail == "room_deleted"

    # ── questions ────────────────────────────────────────────────────────────────────────────────

    @property
    def removed_on_request(self) -> "Attempt | None":
        """The last attempt with an agent in the call, if that agent was removed on request."""
        served = self if self.joined else self.replaces
        return served if served and served.replaced_on_request else None

    @property
    def in_call(self) -> bool:
        """Its agent is in the call, or has reported the call's end."""
        return self.state in (AttemptState.READY, AttemptState.REPORTED)

    @property
    def is_over(self) -> bool:
        """Its agent is no longer able to finish the call."""
        return self.state in (AttemptState.FAILED, AttemptState.LOST, AttemptState.CLOSED)

    def reason_lost(self) -> str | None:
        """Why this agent, once ready, will not bring the call to its end; None if it may."""
        if self.state in (AttemptState.FAILED, AttemptState.LOST):
            return self.problem or "no reason given"
        if self.report and self.report.end_reason.abandons_the_call():
            return f"it ended with `{self.report.end_reason.value}`"
        return None

    def overdue_at(self, grace: float) -> datetime | None:
        """When to check whether an agent that left is lost; None if there is no need to.

        Args:
            grace: how long its report may take after its leave, in seconds.
        """
        if self.left_at is None or self.report or self.state is AttemptState.LOST:
            return None
        return self.left_at + timedelta(seconds=grace)

    def refusal(self, claim: AgentReady) -> str | None:
        """Why this claim is refused; None if it is the one that the attempt waits for."""
        if claim.attempt < self.number:
            return f"attempt {claim.attempt} was replaced by attempt {self.number}"
        if claim.attempt > self.number:
            return f"attempt {claim.attempt} was never dispatched"
        if self.is_over:
            return f"attempt {claim.attempt} is over ({self.state.value})"
        if self.job_id not in (None, claim.job_id):
            return f"attempt {claim.attempt} was claimed by another job"
        return None

    def belongs_to(self, job_id: str | None) -> bool:
        """Whether a job (None: whichever it is) is the one of the claim, or may still become it."""
        return job_id is None or self.job_id in (None, job_id)

    def dies_with(self, job_id: str | None) -> bool:
        """Whether the death of this job (None: of its agent) leaves the attempt without an agent.

        An agent that has handed in its report or has failed may die, and so may one that did not
        get the claim.
        """
        done = self.report is not None or self.state is AttemptState.FAILED
        return not done and self.belongs_to(job_id)
