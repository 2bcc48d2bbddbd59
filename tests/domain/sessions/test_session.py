"""The budgets of a session: every wait has one, and LiveKit's time-outs are longer."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.sessions.session import (
    GivenLimits,
    SessionLimits,
    SessionState,
    SessionStatus,
    WaitingFor,
)

limits = st.builds(
    SessionLimits,
    join_timeout=st.floats(0.1, 120),
    ready_timeout=st.floats(0.1, 300),
    join_attempts=st.integers(1, 10),
    join_backoff=st.floats(0, 60),
    caller_wait=st.floats(1, 3600),
    caller_return=st.floats(0, 600),
    report_grace=st.floats(0, 600),
)


def test_the_seeds_figures_are_the_defaults() -> None:
    assert SessionLimits().join_timeout == 7.5
    assert SessionLimits().join_attempts == 3
    assert SessionLimits().caller_return == 30


def test_the_join_budget_counts_all_attempts_and_pauses() -> None:
    budgets = SessionLimits(join_timeout=5, ready_timeout=10, join_attempts=3, join_backoff=2)

    assert budgets.join_budget() == 3 * (5 + 10) + 2 + 4


@given(limits)
def test_livekit_closes_no_room_that_a_session_still_needs(given: SessionLimits) -> None:
    assert given.empty_timeout() > given.join_budget() + given.caller_wait
    assert given.departure_timeout() > given.caller_return + given.report_grace


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("join_timeout", 0),
        ("join_attempts", 0),
        ("join_attempts", 11),
        ("max_duration", 86_401),
        ("caller_wait", -1),
        ("report_grace", float("nan")),
        ("max_duration", float("inf")),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValidationError):
        SessionLimits.model_validate({field: value})


def test_a_typo_of_a_client_is_refused_and_a_newer_everlines_limit_is_left_out() -> None:
    newer = {"max_duration": 60, "max_patience": 60}

    with pytest.raises(ValidationError, match="max_patience"):
        GivenLimits.model_validate(newer)
    assert SessionLimits.model_validate(newer) == SessionLimits(max_duration=60)
    assert (
        SessionLimits.model_validate(GivenLimits(max_duration=60).model_dump()).max_duration == 60
    )


@pytest.mark.parametrize(
    ("deadline_in", "left"), [(None, None), (90.0, 90.0), (0.0, 0.0), (-5.0, 0.0)]
)
def test_an_agent_is_told_the_time_that_is_really_left(
    deadline_in: float | None, left: float | None
) -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    status = SessionStatus(
        org="acme",
        session_id="s1",
        room_name="acme.r1",
        state=SessionState.LIVE,
        waiting_for=WaitingFor.CALL_END,
        version=1,
        agent_name="agent",
        started_at=now,
        deadline=None if deadline_in is None else now + timedelta(seconds=deadline_in),
    )

    assert status.seconds_left(now) == left
    ended = status.model_copy(update={"ended_at": now})
    assert ended.seconds_left(now) == 0
