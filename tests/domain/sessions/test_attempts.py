"""One dispatch attempt: its states, whose claim is accepted, and when its agent is lost."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from domain.sessions.attempts import Attempt, AttemptState
from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import AgentReady, ReportReceived

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DISPATCHED, APPEARED, READY = AttemptState.DISPATCHED, AttemptState.APPEARED, AttemptState.READY
REPORTED, FAILED = AttemptState.REPORTED, AttemptState.FAILED
LOST, CLOSED = AttemptState.LOST, AttemptState.CLOSED


def _report(end_reason: ReportEnd, error: str | None = None) -> ReportReceived:
    return ReportReceived(
        event_id="r1",
        attempt=1,
        digest="d",
        end_reason=end_reason,
        turn_count=2,
        stored=True,
        error=error,
    )


def _claim(attempt: int, job: str = "AJ_1") -> AgentReady:
    return AgentReady(attempt=attempt, job_id=job, identity=f"agent-{job}")


Step = Callable[[Attempt], None]

STEPS: dict[str, Step] = {
    "appear": lambda attempt: attempt.appear("agent-AJ_1", external=False),
    "appear external": lambda attempt: attempt.appear("somebody", external=True),
    "claim": lambda attempt: attempt.claim(_claim(1)),
    "report": lambda attempt: attempt.take_report(_report(ReportEnd.AGENT_ENDED)),
    "fail": lambda attempt: attempt.fail("no such model"),
    "lose": lambda attempt: attempt.mark_lost("no sign of life"),
    "replace": lambda attempt: attempt.request_replacement("an operator"),
    "close": lambda attempt: attempt.close(),
}


def _after(*steps: str) -> Attempt:
    attempt = Attempt(1)
    for step in steps:
        STEPS[step](attempt)
    return attempt


READY_BY = ("appear", "claim")


@pytest.mark.parametrize(
    ("steps", "state", "joined", "problem"),
    [
        ((), DISPATCHED, False, None),
        (("appear",), APPEARED, False, None),
        (("claim",), DISPATCHED, False, None),
        (("appear", "claim"), READY, True, None),
        (("claim", "appear"), READY, True, None),
        (("appear external",), READY, True, None),
        ((*READY_BY, "report"), REPORTED, True, None),
        (("report",), FAILED, False, "it ended before it was ready"),
        (("appear", "report"), FAILED, False, "it ended before it was ready"),
        (("fail",), FAILED, False, "no such model"),
        (("fail", "appear"), FAILED, False, "no such model"),
        (("fail", "report"), FAILED, False, "no such model"),
        (("fail", "lose"), LOST, False, "no such model"),
        (("lose", "fail"), FAILED, False, "no such model"),
        (("lose", "report"), FAILED, False, "it ended before it was ready"),
        ((*READY_BY, "lose"), LOST, True, "no sign of life"),
        ((*READY_BY, "lose", "report"), LOST, True, "no sign of life"),
        ((*READY_BY, "fail", "report"), FAILED, True, "no such model"),
        ((*READY_BY, "replace"), LOST, True, "replaced by an operator"),
        ((*READY_BY, "replace", "lose"), LOST, True, "replaced by an operator"),
        ((*READY_BY, "report", "close"), CLOSED, True, None),
        (("close", "appear"), CLOSED, False, None),
        (("close", "fail"), CLOSED, False, None),
        (("close", "lose"), CLOSED, False, None),
    ],
)
def test_each_message_leads_to_one_state(
    steps: tuple[str, ...], state: AttemptState, joined: bool, problem: str | None
) -> None:
    attempt = _after(*steps)

    assert (attempt.state, attempt.joined, attempt.problem) == (state, joined, problem)
    assert attempt.in_call == (state in (READY, REPORTED))
    assert attempt.is_over == (state in (FAILED, LOST, CLOSED))


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
    ("step", "state"), [("close", "closed"), ("lose", "lost"), ("fail", "failed")]
)
def test_an_attempt_whose_agent_is_gone_takes_no_claim(step: str, state: str) -> None:
    attempt = _after("claim", step)

    assert attempt.is_over
    assert attempt.refusal(_claim(1)) == f"attempt 1 is over ({state})"


def test_an_agent_that_left_is_looked_for_when_its_report_is_overdue() -> None:
    attempt = _after(*READY_BY)
    assert attempt.overdue_at(3) is None, "it never left"

    attempt.leave(NOON, "CONNECTION_TIMEOUT")
    attempt.leave(NOON + timedelta(seconds=1), "CLIENT_INITIATED")

    assert attempt.overdue_at(3) == NOON + timedelta(seconds=3)
    assert attempt.left_detail == "CLIENT_INITIATED"
    assert attempt.reason_lost() is None, "a leave alone proves nothing"
    attempt.forget_leave()
    assert attempt.overdue_at(3) is None
    attempt.leave(NOON, None)
    attempt.take_report(_report(ReportEnd.CALLER_LEFT))
    assert attempt.overdue_at(3) is None


@pytest.mark.parametrize("reason", ReportEnd)
def test_a_report_loses_the_agent_only_if_it_abandons_the_call(reason: ReportEnd) -> None:
    attempt = _after(*READY_BY)
    attempt.take_report(_report(reason))

    loss = attempt.reason_lost()

    assert loss == (f"it ended with `{reason.value}`" if reason.abandons_the_call() else None)


def test_a_report_before_the_agent_was_ready_fails_by_its_own_error() -> None:
    attempt = Attempt(1)

    attempt.take_report(_report(ReportEnd.ERROR, error="no such voice"))

    assert (attempt.state, attempt.problem) == (FAILED, "no such voice")


@pytest.mark.parametrize("job", [None, "AJ_1"])
def test_only_an_agent_that_is_still_needed_can_die(job: str | None) -> None:
    assert _after(*READY_BY).dies_with(job)
    assert not _after(*READY_BY).dies_with("AJ_2"), "another job has the claim"
    assert not _after(*READY_BY, "report").dies_with(job)
    assert not _after(*READY_BY, "fail").dies_with(job)


def test_an_unanswered_caller_is_known_until_an_agent_is_ready() -> None:
    lost = _after(*READY_BY)
    assert not lost.next_attempt().unanswered
    lost.mark_lost("its process ended", unanswered=True)
    lost.mark_lost("it left the room")
    second = lost.next_attempt()
    second.fail("no such voice")
    third = second.next_attempt()
    third.appear("agent-AJ_3", external=False)
    assert (second.unanswered, third.unanswered) == (True, True)
    third.claim(_claim(3, "AJ_3"))

    assert not third.unanswered
    assert not third.next_attempt().unanswered


def test_an_agent_reports_that_it_owes_an_answer() -> None:
    failed = _after(*READY_BY)
    report = _report(ReportEnd.ERROR).model_copy(update={"unanswered": True})
    failed.take_report(report)

    assert failed.next_attempt().unanswered


def test_a_turn_that_is_not_stored_yet_is_known_until_an_agent_is_ready() -> None:
    lost, failed = _after(*READY_BY), _after(*READY_BY)
    lost.mark_lost("its process ended", undelivered_turn="item_7")
    lost.mark_lost("it left the room")
    report = _report(ReportEnd.ERROR).model_copy(update={"undelivered_turn": "item_8"})
    failed.take_report(report)
    second = lost.next_attempt()

    assert (second.undelivered_turn, failed.next_attempt().undelivered_turn) == ("item_7", "item_8")
    second.appear("agent-AJ_2", external=False)
    second.claim(_claim(2, "AJ_2"))
    assert second.next_attempt().undelivered_turn is None


def test_the_first_reason_of_a_loss_stays() -> None:
    silent = _after(*READY_BY, "lose")
    silent.mark_lost("its process ended")
    silent.leave(NOON, None)

    assert silent.reason_lost() == "no sign of life"
    assert silent.overdue_at(0) is None
    assert _after(*READY_BY, "fail").reason_lost() == "no such model"
