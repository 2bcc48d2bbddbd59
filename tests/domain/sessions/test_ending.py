"""What an end means once it is known whether the report came."""

from datetime import UTC, datetime

import pytest

from domain.sessions import ending as endings
from domain.sessions.attempts import Attempt
from domain.sessions.ending import Ending
from domain.sessions.messages import AgentReady, ReportReceived
from domain.sessions.session import EndReason, Outcome
from domain.transcripts.transcript import ReportEnd

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REQUESTED = Ending(EndReason.END_REQUESTED, "the end was requested")


def _attempt(said: ReportEnd | None) -> Attempt:
    attempt = Attempt(1)
    attempt.appear("agent-AJ_1", external=False)
    attempt.claim(AgentReady(attempt=1, job_id="AJ_1", identity="agent-AJ_1"))
    if said:
        attempt.take_report(
            ReportReceived(
                event_id="r", attempt=1, digest="d", end_reason=said, turn_count=0, stored=True
            )
        )
    return attempt


def test_with_a_report_a_call_is_completed() -> None:
    settled = endings.settled(REQUESTED, _attempt(ReportEnd.END_REQUESTED), ever_joined=True)

    assert (settled.outcome, settled.reason) == (Outcome.COMPLETED, EndReason.END_REQUESTED)


def test_an_agent_that_failed_completed_nothing() -> None:
    settled = endings.settled(endings.CALLER_LEFT, _attempt(ReportEnd.ERROR), ever_joined=True)

    assert (settled.outcome, settled.reason) == (Outcome.AGENT_LOST, EndReason.CALLER_LEFT)


def test_without_a_report_it_says_so() -> None:
    settled = endings.settled(REQUESTED, _attempt(None), ever_joined=True)

    assert (settled.outcome, settled.reason) == (Outcome.REPORT_MISSING, EndReason.END_REQUESTED)


@pytest.mark.parametrize("attempt", [None, _attempt(None)])
def test_an_end_before_any_agent_was_there_is_a_cancellation(attempt: Attempt | None) -> None:
    settled = endings.settled(REQUESTED, attempt, ever_joined=False)

    assert settled.outcome is Outcome.CANCELLED


@pytest.mark.parametrize(
    "ending",
    [
        endings.AGENT_NEVER_JOINED,
        endings.CALLER_NEVER_JOINED,
        endings.CANCELLED,
        endings.agent_failed("r"),
        endings.agent_lost("r"),
    ],
)
def test_an_end_with_an_outcome_of_its_own_keeps_it(ending: Ending) -> None:
    assert endings.settled(ending, _attempt(ReportEnd.AGENT_ENDED), ever_joined=True) == ending


@pytest.mark.parametrize(
    ("said", "outcome", "reason"),
    [
        (ReportEnd.AGENT_ENDED, Outcome.COMPLETED, EndReason.AGENT_ENDED),
        (ReportEnd.SILENCE, Outcome.COMPLETED, EndReason.SILENCE),
        (ReportEnd.ROOM_DELETED, Outcome.ROOM_LOST, EndReason.ROOM_DELETED),
        (ReportEnd.SHUTDOWN, Outcome.ROOM_LOST, EndReason.ROOM_DELETED),
        (ReportEnd.ERROR, Outcome.ROOM_LOST, EndReason.ROOM_DELETED),
        (None, Outcome.ROOM_LOST, EndReason.ROOM_DELETED),
    ],
)
def test_a_closed_room_is_lost_unless_the_agent_had_finished(
    said: ReportEnd | None, outcome: Outcome, reason: EndReason
) -> None:
    settled = endings.settled(endings.ROOM_LOST, _attempt(said), ever_joined=True)

    assert (settled.outcome, settled.reason) == (outcome, reason)


@pytest.mark.parametrize("said", list(ReportEnd))
def test_every_word_of_a_report_is_an_end_reason(said: ReportEnd) -> None:
    assert isinstance(said.end_reason(), EndReason)
    assert said.abandons_the_call() == (said.value in ("shutdown", "error", "unknown"))
