"""What an end means once it is known whether the report came."""

from datetime import UTC, datetime

import pytest

from domain.sessions import ending as endings
from domain.sessions.attempts import Attempt
from domain.sessions.end_reasons import EndReason, ReportEnd
from domain.sessions.ending import Ending
from domain.sessions.messages import AgentReady, ReportReceived
from domain.sessions.session import Outcome

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REQUESTED = Ending(EndReason.END_REQUESTED, "the end was requested")


def _attempt(said: ReportEnd | None) -> Attempt:
    attempt = Attempt(1)
    attempt.appear("agent-AJ_1", external=False)
    attempt.claim(AgentReady(attempt=1, job_id="AJ_1", identity="agent-AJ_1"))
    if said:
        attempt.take_report(_report(said))
    return attempt


def _report(said: ReportEnd) -> ReportReceived:
    return ReportReceived(
        event_id="r", attempt=1, digest="d", end_reason=said, turn_count=0, stored=True
    )


def _settled(
    ending: Ending,
    attempt: Attempt | None,
    *,
    ever_joined: bool = True,
    recovering: bool = False,
    caller_came: bool = True,
) -> Ending:
    return endings.settled(
        ending,
        attempt,
        ever_joined=ever_joined,
        recovering=recovering,
        caller_came=caller_came,
    )


def test_with_a_report_a_call_is_completed() -> None:
    settled = _settled(REQUESTED, _attempt(ReportEnd.END_REQUESTED))

    assert (settled.outcome, settled.reason) == (Outcome.COMPLETED, EndReason.END_REQUESTED)


def test_a_caller_who_was_transferred_has_not_just_left() -> None:
    settled = _settled(endings.CALLER_LEFT, _attempt(ReportEnd.TRANSFERRED))
    requested = _settled(REQUESTED, _attempt(ReportEnd.TRANSFERRED))

    assert (settled.outcome, settled.reason) == (Outcome.COMPLETED, EndReason.TRANSFERRED)
    assert requested.reason is EndReason.END_REQUESTED


def test_an_agent_that_failed_completed_nothing() -> None:
    settled = _settled(endings.CALLER_LEFT, _attempt(ReportEnd.ERROR))

    assert (settled.outcome, settled.reason) == (Outcome.AGENT_LOST, EndReason.CALLER_LEFT)


def test_without_a_report_it_says_so() -> None:
    settled = _settled(REQUESTED, _attempt(None))

    assert (settled.outcome, settled.reason) == (Outcome.REPORT_MISSING, EndReason.END_REQUESTED)


@pytest.mark.parametrize("attempt", [None, _attempt(None)])
def test_an_end_before_any_agent_was_there_is_a_cancellation(attempt: Attempt | None) -> None:
    settled = _settled(REQUESTED, attempt, ever_joined=False)

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
    assert _settled(ending, _attempt(ReportEnd.AGENT_ENDED)) == ending


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
    settled = _settled(endings.ROOM_LOST, _attempt(said))

    assert (settled.outcome, settled.reason) == (outcome, reason)


@pytest.mark.parametrize("said", list(ReportEnd))
def test_every_word_of_a_report_is_an_end_reason(said: ReportEnd) -> None:
    assert isinstance(said.end_reason(), EndReason)
    assert said.abandons_the_call() == (said.value in ("shutdown", "error", "unknown"))


@pytest.mark.parametrize("said", [ReportEnd.END_REQUESTED, ReportEnd.AGENT_ENDED])
def test_a_call_to_which_nobody_came_is_not_completed(said: ReportEnd) -> None:
    settled = _settled(REQUESTED, _attempt(said), caller_came=False)

    assert (settled.outcome, settled.reason) == (
        Outcome.CALLER_NEVER_JOINED,
        EndReason.END_REQUESTED,
    )


def test_a_fault_of_an_agent_that_was_asked_to_finish_is_no_loss() -> None:
    attempt = _attempt(None)
    attempt.asked_to_finish = True
    attempt.take_report(_report(ReportEnd.ERROR))

    assert _settled(REQUESTED, attempt).outcome is Outcome.COMPLETED


@pytest.mark.parametrize("next_one_was_dispatched", [False, True])
def test_an_end_while_a_lost_agent_is_replaced_is_a_loss(next_one_was_dispatched: bool) -> None:
    lost = _attempt(None)
    lost.mark_lost("it is dead")
    lost.close()
    attempt = lost.next_attempt() if next_one_was_dispatched else lost

    assert _settled(REQUESTED, attempt, recovering=True).outcome is Outcome.AGENT_LOST


@pytest.mark.parametrize("failed_attempts", [0, 1, 2])
@pytest.mark.parametrize(
    ("said", "outcome"),
    [(ReportEnd.SHUTDOWN, Outcome.COMPLETED), (None, Outcome.REPORT_MISSING)],
)
def test_an_agent_that_an_operator_replaced_is_not_lost(
    said: ReportEnd | None, outcome: Outcome, failed_attempts: int
) -> None:
    removed = attempt = _attempt(None)
    removed.request_replacement("ops")
    removed.close()
    removed.report = _report(said) if said else None
    for _ in range(failed_attempts):
        attempt = attempt.next_attempt()

    assert _settled(REQUESTED, attempt, recovering=True).outcome is outcome


@pytest.mark.parametrize(
    ("external", "detail", "outcome"),
    [
        (True, "room_deleted", Outcome.COMPLETED),
        (True, "room_closed", Outcome.ROOM_LOST),
        (False, "room_deleted", Outcome.ROOM_LOST),
    ],
)
def test_an_external_agent_hangs_up_by_deleting_the_room(
    external: bool, detail: str, outcome: Outcome
) -> None:
    attempt = Attempt(1)
    attempt.appear("agent-AJ_1", external=external)
    attempt.claim(AgentReady(attempt=1, job_id="AJ_1", identity="agent-AJ_1"))
    attempt.leave(NOON, detail)

    settled = _settled(endings.ROOM_LOST, attempt)

    assert settled.outcome is outcome
    assert (settled.reason is EndReason.AGENT_ENDED) == (outcome is Outcome.COMPLETED)


def test_the_loss_of_an_agent_that_took_over_on_request_is_a_loss() -> None:
    removed = _attempt(ReportEnd.SHUTDOWN)
    removed.request_replacement("ops")
    removed.close()
    successor = removed.next_attempt()
    successor.appear("agent-AJ_2", external=False)
    successor.claim(AgentReady(attempt=2, job_id="AJ_2", identity="agent-AJ_2"))
    successor.mark_lost("its process was killed")
    successor.close()

    assert _settled(REQUESTED, successor, recovering=True).outcome is Outcome.AGENT_LOST


def test_the_report_of_the_agent_that_was_removed_last_counts() -> None:
    first = _attempt(ReportEnd.SHUTDOWN)
    first.request_replacement("ops")
    second = first.next_attempt()
    second.appear("agent-AJ_2", external=False)
    second.claim(AgentReady(attempt=2, job_id="AJ_2", identity="agent-AJ_2"))
    second.request_replacement("ops")

    assert second.removed_on_request is second
    assert _settled(REQUESTED, second, recovering=True).outcome is Outcome.REPORT_MISSING


@pytest.mark.parametrize(("turns", "heard"), [(0, False), (2, True), (None, True)])
def test_a_report_of_the_agent_that_was_removed_last_tells_of_the_caller(
    turns: int | None, heard: bool
) -> None:
    removed = _attempt(None)
    removed.request_replacement("ops")
    removed.report = _report(ReportEnd.SHUTDOWN).model_copy(update={"caller_turns": turns})

    assert removed.next_attempt().heard_caller() is heard
