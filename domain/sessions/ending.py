"""How a call came to its end, before the report decides between completed and report_missing."""

from dataclasses import dataclass, replace

from domain.sessions.attempts import Attempt
from domain.sessions.session import EndReason, Outcome
from domain.transcripts.transcript import ReportEnd


@dataclass(frozen=True)
class Ending:
    """Why a call is over.

    Attributes:
        reason: the end reason.
        text: the same in a sentence, for people.
        outcome: the outcome if the end itself decides it; None if the report does.
    """

    reason: EndReason
    text: str
    outcome: Outcome | None = None


AGENT_NEVER_JOINED = Ending(
    EndReason.AGENT_NEVER_JOINED,
    "no agent joined the room in any attempt",
    Outcome.AGENT_NEVER_JOINED,
)
CALLER_NEVER_JOINED = Ending(
    EndReason.CALLER_NEVER_JOINED, "the caller never came", Outcome.CALLER_NEVER_JOINED
)
CALLER_LEFT = Ending(EndReason.CALLER_LEFT, "the caller left and did not come back")
MAX_DURATION = Ending(EndReason.MAX_DURATION, "the maximum duration was reached")
ROOM_LOST = Ending(EndReason.ROOM_DELETED, "LiveKit closed the room", Outcome.ROOM_LOST)
CANCELLED = Ending(EndReason.CANCELLED, "the workflow was cancelled", Outcome.CANCELLED)


def agent_failed(reason: str) -> Ending:
    """The agent reported that it cannot start."""
    return Ending(EndReason.AGENT_FAILED, reason, Outcome.AGENT_FAILED)


def agent_lost(reason: str) -> Ending:
    """The agent was lost in the middle of the call and could not be replaced."""
    return Ending(EndReason.AGENT_LOST, reason, Outcome.AGENT_LOST)


def reported(end: ReportEnd) -> Ending:
    """The agent's report says that the conversation is over."""
    return Ending(end.end_reason(), f"the agent reported the end: {end.value}")


def settled(ending: Ending, attempt: Attempt | None, *, ever_joined: bool) -> Ending:
    """The ending with its outcome, now that it is known whether the report came.

    An end before any agent was there is `cancelled`. A room that the agent closed after it had
    finished was not lost: its report says what happened. A call whose agent reported a fault, or
    that ended while its agent was replaced, was abandoned by its agent.
    """
    report = attempt.report if attempt else None
    if report and ending.outcome is Outcome.ROOM_LOST:
        said = report.end_reason
        if not said.abandons_the_call() and said is not ReportEnd.ROOM_DELETED:
            return replace(reported(said), outcome=Outcome.COMPLETED)
    if ending.outcome:
        return ending
    if report:
        failed = report.end_reason is ReportEnd.ERROR
        return replace(ending, outcome=Outcome.AGENT_LOST if failed else Outcome.COMPLETED)
    if not ever_joined:
        return replace(ending, outcome=Outcome.CANCELLED)
    replacing = attempt is not None and not attempt.joined
    return replace(ending, outcome=Outcome.AGENT_LOST if replacing else Outcome.REPORT_MISSING)
