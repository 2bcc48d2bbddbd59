"""One dispatch attempt of a session: from the dispatch to the agent's report."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain.sessions.messages import AgentReady, ReportReceived


@dataclass
class Attempt:
    """What is known of one attempt. Attempts are numbered from 1; only the last one is current."""

    number: int
    agent_identity: str | None = None
    """Identity of the agent participant, once it was seen ACTIVE or has claimed the attempt."""
    foreign: bool = False
    """The agent carries no attempt: it is not our agent worker and sends no callbacks."""
    seen: bool = False
    claimed_by: str | None = None
    """Job id of the agent whose claim was accepted."""
    failed: str | None = None
    """The agent's own word that it cannot start."""
    failure_is_final: bool = False
    lost: str | None = None
    """Why the agent counts as lost."""
    replaced_by_order: bool = False
    """Somebody wants another agent: nothing is wrong with this one."""
    left_at: datetime | None = None
    """When its participant left the room."""
    left_detail: str | None = None
    abandoned: bool = False
    """Given up: a claim that comes now is refused."""
    report: ReportReceived | None = None
    notes: list[str] = field(default_factory=lambda: list[str]())

    def refusal(self, claim: AgentReady) -> str | None:
        """Why this claim is refused; None if it is the one that the attempt waits for."""
        if claim.attempt < self.number:
            return f"attempt {claim.attempt} was replaced by attempt {self.number}"
        if claim.attempt > self.number:
            return f"attempt {claim.attempt} was never dispatched"
        if self.abandoned or self.lost or self.failed:
            return f"attempt {claim.attempt} was given up"
        if self.claimed_by not in (None, claim.job_id):
            return f"attempt {claim.attempt} was claimed by another job"
        return None

    def dies_with(self, job_id: str | None) -> bool:
        """Whether the death of this job (None: of its agent) leaves the attempt without an agent.

        An agent that has handed in its report may die, and so may one that did not get the claim.
        """
        return self.report is None and self.belongs_to(job_id)

    def belongs_to(self, job_id: str | None) -> bool:
        """Whether a job (None: whichever it is) is the one of the claim, or may still become it."""
        return job_id in (None, self.claimed_by or job_id)

    def lost_at(self, grace: float) -> datetime | None:
        """When to look whether an agent that left is lost, unless its report comes before.

        Args:
            grace: how long its report may take, in seconds.
        """
        if self.left_at is None or self.report or self.lost:
            return None
        return self.left_at + timedelta(seconds=grace)

    def loss(self) -> str | None:
        """Why this agent, once proven, will not bring the call to its end; None if it may."""
        if self.lost or self.failed:
            return self.lost or self.failed
        if self.report and self.report.end_reason.abandons_the_call():
            return f"it closed by {self.report.end_reason.value}"
        return None

    def came_back(self) -> None:
        """Its participant left by a connection that it has made again."""
        self.left_at = self.left_detail = None

    def claim(self, claim: AgentReady) -> None:
        """Accept a claim."""
        self.claimed_by = claim.job_id
        self.agent_identity = claim.identity

    @property
    def joined(self) -> bool:
        """The agent is proven: in the room, and ready by its own word (a foreign one has none)."""
        return self.seen and (self.foreign or self.claimed_by is not None)

    @property
    def gone(self) -> bool:
        """The agent is no longer able to finish this call."""
        return bool(self.lost or self.failed or self.abandoned)
