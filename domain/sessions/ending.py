"""How a call came to its end, before the report decides between completed and report_missing."""

from dataclasses import dataclass, replace

from domain.sessions.attempts import Attempt
from domain.sessions.end_reasons import EndReason, ReportEnd
from domain.sessions.session import Outcome


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
NO_CAPACITY = Ending(
    EndReason.NO_CAPACITY,
    "no agent server had a free place in time",
    Outcome.NO_CAPACITY,
)
CALLER_NEVER_JOINED = Ending(
    EndReason.CALLER_NEVER_JOINED, "the caller never came", Outcome.CALLER_NEVER_JOINED
)
CALLER_LEFT = Ending(EndReason.CALLER_LEFT, "the caller left and did not come back")
MAX_DURATION = Ending(EndReason.MAX_DURATION, "the maximum duration was reached")
HUNG_UP = Ending(
    EndReason.AGENT_ENDED, "the agent deleted the room to end the call", Outcome.COMPLETED
)
ROOM_LOST = Ending(EndReason.ROOM_DELETED, "LiveKit closed the room", Outcome.ROOM_LOST)
CANCELLED = Ending(EndReason.CANCELLED, "the workflow was cancelled", Outcome.CANCELLED)


def explained(ending: Ending, last: Attempt | None, no_agent: str | None) -> Ending:
    """`AGENT_NEVER_JOINED` with its cause: what the last attempt saw, or that no agent was there.

    Args:
        ending: any other is returned as it is.
        last: the last attempt; None before the first.
        no_agent: why no agent would have come when the session started, with the cure.
    """
    if ending not in (AGENT_NEVER_JOINED, NO_CAPACITY):
        return ending
    came = last is not None and last.agent_identity is not None
    notes = last.notes if last else []
    cause = "; ".join([*notes, *([no_agent] if no_agent and not came else [])])
    return replace(ending, text=f"{ending.text}: {cause}") if cause else ending


def agent_failed(reason: str) -> Ending:
    """The agent reported that it cannot start."""
    return Ending(EndReason.AGENT_FAILED, reason, Outcome.AGENT_FAILED)


def agent_lost(reason: str) -> Ending:
    """The agent was lost in the middle of the call and could not be replaced."""
    return Ending(EndReason.AGENT_LOST, reason, Outcome.AGENT_LOST)


def reported(end: ReportEnd) -> Ending:
    """The agent's report says that the conversation is over."""
    return Ending(end.end_reason(), f"the agent reported the end: {end.value}")


def settled(
    ending: Ending,
    attempt: Attempt | None,
    *,
    ever_joined: bool,
    recovering: bool,
    caller_came: bool,
) -> Ending:
    """The ending with its outcome, now that it is known whether the report came.

    Args:
        ending: why the call is over.
        attempt: the last attempt; None before the first.
        ever_joined: whether any agent was ever in the call.
        recovering: whether the call ended while its agent was replaced.
        caller_came: whether a caller was ever in the room, as far as it is known.
    """
    ending = _transferred_by_agent(_room_deleted_by_agent(ending, attempt), attempt)
    if ending.outcome and ending.outcome is not Outcome.COMPLETED:
        return ending
    if not ever_joined:
        return replace(ending, outcome=Outcome.CANCELLED)
    if ending.outcome is None:
        ending = replace(ending, outcome=_outcome(attempt, recovering=recovering))
    if ending.outcome is Outcome.COMPLETED and not caller_came:
        return replace(ending, outcome=Outcome.CALLER_NEVER_JOINED)
    return ending


def _transferred_by_agent(ending: Ending, attempt: Attempt | None) -> Ending:
    """A caller who was transferred has left; the report may come after the leave."""
    report = attempt.report if attempt else None
    if ending == CALLER_LEFT and report and report.end_reason is ReportEnd.TRANSFERRED:
        return reported(report.end_reason)
    return ending


def _room_deleted_by_agent(ending: Ending, attempt: Attempt | None) -> Ending:
    """A room that the agent deleted to hang up was not lost; its report says what happened."""
    if ending.outcome is not Outcome.ROOM_LOST or attempt is None:
        return ending
    if attempt.report is None:
        return HUNG_UP if attempt.deleted_room() else ending
    said = attempt.report.end_reason
    if said.abandons_the_call() or said is ReportEnd.ROOM_DELETED:
        return ending
    return replace(reported(said), outcome=Outcome.COMPLETED)


def _outcome(attempt: Attempt | None, *, recovering: bool) -> Outcome:
    if recovering:
        # Nothing was wrong with an agent that was removed on request: its report is the call's.
        attempt = attempt.removed_on_request if attempt else None
        if attempt is None:
            return Outcome.AGENT_LOST
    if attempt is None or attempt.report is None:
        return Outcome.REPORT_MISSING
    failed = attempt.report.end_reason is ReportEnd.ERROR and not attempt.asked_to_finish
    return Outcome.AGENT_LOST if failed else Outcome.COMPLETED
