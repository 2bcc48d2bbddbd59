"""One dispatch attempt: whose claim is accepted, and when its agent is proven or gone."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.sessions.attempts import Attempt
from domain.sessions.messages import AgentReady, ReportReceived
from domain.transcripts.transcript import ReportEnd

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _report(end_reason: ReportEnd) -> ReportReceived:
    return ReportReceived(
        event_id="r1", attempt=1, digest="d", end_reason=end_reason, turn_count=2, stored=True
    )


def _claim(attempt: int, job: str = "AJ_1") -> AgentReady:
    return AgentReady(attempt=attempt, job_id=job, identity=f"agent-{job}")


def test_the_first_claim_of_the_attempt_is_accepted_and_stays() -> None:
    attempt = Attempt(2)
    assert attempt.refusal(_claim(2)) is None

    attempt.claim(_claim(2))

    assert attempt.agent_identity == "agent-AJ_1"
    assert attempt.refusal(_claim(2)) is None, "the same job may ask again"
    assert attempt.refusal(_claim(2, "AJ_2")) == "attempt 2 was claimed by another job"


def test_other_attempts_are_refused_with_the_reason() -> None:
    attempt = Attempt(2)

    assert attempt.refusal(_claim(1)) == "attempt 1 was replaced by attempt 2"
    assert attempt.refusal(_claim(3)) == "attempt 3 was never dispatched"


@pytest.mark.parametrize(
    "given_up",
    [{"abandoned": True}, {"lost": "no sign of life"}, {"failed": "no such model"}],
    ids=["abandoned", "lost", "failed"],
)
def test_an_attempt_that_was_given_up_takes_no_claim(given_up: dict[str, object]) -> None:
    attempt = Attempt(2, claimed_by="AJ_1", **given_up)  # pyright: ignore[reportArgumentType] - its own fields

    assert attempt.gone
    assert attempt.refusal(_claim(2)) == "attempt 2 was given up"


def test_an_agent_is_proven_by_being_seen_and_by_its_own_word() -> None:
    seen = Attempt(1, seen=True)
    claimed = Attempt(1, claimed_by="AJ_1")
    both = Attempt(1, seen=True, claimed_by="AJ_1")
    foreign = Attempt(1, seen=True, foreign=True)

    assert [seen.joined, claimed.joined, both.joined, foreign.joined] == [False, False, True, True]


def test_an_agent_that_left_is_looked_for_when_its_report_is_overdue() -> None:
    attempt = Attempt(1, seen=True, claimed_by="AJ_1")
    assert attempt.lost_at(3) is None, "it never left"

    attempt.left_at, attempt.left_detail = NOON, "CONNECTION_TIMEOUT"

    assert attempt.lost_at(3) == NOON + timedelta(seconds=3)
    assert attempt.loss() is None, "a leave alone proves nothing"
    attempt.came_back()
    assert attempt.lost_at(3) is None
    attempt.left_at = NOON
    attempt.report = _report(ReportEnd.CALLER_LEFT)
    assert attempt.lost_at(3) is None


@pytest.mark.parametrize("reason", ReportEnd)
def test_a_report_loses_the_agent_only_if_it_abandons_the_call(reason: ReportEnd) -> None:
    attempt = Attempt(1, seen=True, claimed_by="AJ_1", report=_report(reason))

    loss = attempt.loss()

    assert loss == (f"it closed by {reason.value}" if reason.abandons_the_call() else None)


def test_the_first_reason_of_a_loss_stays() -> None:
    silent = Attempt(1, lost="no sign of life", failed="no such model", left_at=NOON)
    failed = Attempt(1, failed="no such model", left_at=NOON)

    assert silent.loss() == "no sign of life"
    assert silent.lost_at(0) is None
    assert failed.loss() == "no such model"
