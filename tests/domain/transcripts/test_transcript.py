"""Turns in their order, and the digests that tell whether anything changed."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.sessions.end_reasons import ReportEnd
from domain.transcripts.transcript import (
    AgentReport,
    Role,
    Turn,
    in_charge,
    ordered,
    transcript_digest,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _turn(attempt: int, seq: int, text: str = "hello", item_id: str = "") -> Turn:
    return Turn(
        item_id=item_id or f"i-{attempt}-{seq}",
        attempt=attempt,
        seq=seq,
        role=Role.USER,
        text=text,
        created_at=NOON + timedelta(seconds=seq),
    )


keys = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50)), unique=True, max_size=20)


@given(keys, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_arrival(
    given: list[tuple[int, int]], chance: Random
) -> None:
    turns = [_turn(attempt, seq) for attempt, seq in given]
    shuffled = chance.sample(turns, len(turns))

    assert ordered(shuffled) == ordered(turns)
    assert [(turn.attempt, turn.seq) for turn in ordered(shuffled)] == sorted(given)
    assert transcript_digest(shuffled) == transcript_digest(turns)


def test_a_turn_can_be_answered_whatever_its_metrics_are() -> None:
    odd = {"\ud800": 1, "voice": "\udfff", "nan": float("nan"), "nothing": None}
    turn = Turn.model_validate(_turn(1, 0).model_dump() | {"metrics": odd})

    assert turn.metrics.keys() == {"?", "voice", "nan", "nothing"}
    assert '"voice":"?"' in turn.model_dump_json()


def test_a_report_can_be_answered_whatever_its_texts_are() -> None:
    half = "\ud800"
    report = AgentReport.model_validate(
        {
            "attempt": 1,
            **dict.fromkeys(("job_id", "error", "close_reason", "agent_version"), half),
            "usage": [{"provider": half, "model": half, half: half}],
        }
    )

    assert (report.error, report.usage[0].model) == ("?", "?")
    assert half not in report.model_dump_json()


def test_the_turns_of_a_replacement_follow_those_of_the_lost_agent() -> None:
    late, first, second = _turn(1, 9), _turn(2, 0), _turn(2, 1)

    assert ordered([second, late, first]) == [late, first, second]


def test_what_a_client_adds_stands_where_its_time_puts_it() -> None:
    early, late = _turn(1, 0), _turn(1, 8)
    out_of_step = _turn(1, 9).model_copy(update={"created_at": NOON + timedelta(seconds=2)})
    replacement = _turn(2, 0)
    added = [_turn(1, second).model_copy(update={"seq": None}) for second in (5, 20)]
    added[1].created_at = added[1].created_at.replace(tzinfo=None)

    turns = [replacement, added[1], late, out_of_step, added[0], early]

    in_order = [early, added[0], late, out_of_step, added[1], replacement]
    assert ordered(turns) == in_order
    assert ordered(reversed(turns)) == in_order


def test_the_agent_in_charge_is_that_of_the_last_turn_that_an_agent_committed() -> None:
    bills = {"agent_id": "ag-bills"}
    began = [_turn(1, 0), _turn(1, 1)]
    handed_over = [*began, _turn(1, 2).model_copy(update=bills)]
    note = _turn(1, 3).model_copy(update={"seq": None, "created_at": NOON + timedelta(hours=1)})
    assert in_charge([]) is None
    assert in_charge(began) is None
    assert in_charge([note, *handed_over]) == "ag-bills"
    assert in_charge([*handed_over, _turn(2, 0)]) is None


def test_the_digest_sees_texts_roles_and_attempts() -> None:
    base = [_turn(1, 0, "one"), _turn(1, 1, "two")]
    others = [
        [_turn(1, 0, "one"), _turn(1, 1, "tw0")],
        [_turn(1, 0, "one")],
        [_turn(1, 0, "one"), _turn(2, 1, "two")],
        [_turn(1, 0, "one"), _turn(1, 1, "two").model_copy(update={"role": Role.ASSISTANT})],
        [_turn(1, 1, "one"), _turn(1, 0, "two")],
    ]

    digests = {transcript_digest(turns) for turns in [base, *others]}

    assert len(digests) == 1 + len(others)
    assert transcript_digest(base) == transcript_digest(list(reversed(base)))


def test_lone_surrogates_of_an_agent_break_no_digest() -> None:
    assert AgentReport.model_validate({"attempt": 1, "strange": "\ud800"}).digest()


def test_two_deliveries_of_a_report_are_the_same_report() -> None:
    body: dict[str, Any] = {
        "attempt": 1,
        "end_reason": "agent_ended",
        "turns": [],
        "custom": {"a": [1]},
    }
    first, second = AgentReport.model_validate(body), AgentReport.model_validate(dict(body))

    assert first.digest() == second.digest()
    assert first.digest() != AgentReport.model_validate(body | {"custom": {}}).digest()
    assert first.model_extra == {"custom": {"a": [1]}}, "unknown fields are kept"


@pytest.mark.parametrize(
    "fault",
    [{"attempt": 0}, {"seq": -1}, {"item_id": ""}, {"text": "x" * 64_001}, {"role": "system"}],
    ids=lambda fault: next(iter(fault)),
)
def test_a_turn_that_cannot_be_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Turn.model_validate(_turn(1, 0).model_dump() | fault)


def test_a_report_of_an_older_agent_says_little() -> None:
    report = AgentReport.model_validate({"attempt": 3})

    assert (report.end_reason, report.turns) == (ReportEnd.UNKNOWN, [])
