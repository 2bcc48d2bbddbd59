"""A report is read value by value: one that cannot be read costs itself alone, and is named."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.mongo.documents import dump, storable, to_json
from domain.sessions.end_reasons import ReportEnd
from domain.transcripts.external_report import ForeignReport
from domain.transcripts.report_reading import MAX_NAMED, read_report
from domain.transcripts.transcript import AgentReport, Role
from tests.adapters.mongo.examples import NOON, nested

Fields = dict[str, Any]
LONG = "x" * 64_001


def body(**fields: Any) -> Fields:
    """A report that can be read, with two turns, and with these fields."""
    said = {"attempt": 1, "role": "user", "created_at": NOON.isoformat()}
    turns = [{**said, "item_id": f"i{seq}", "seq": seq, "text": f"line {seq}"} for seq in range(2)]
    return {"attempt": 1, "end_reason": "agent_ended", "turns": turns, **fields}


def with_turn(**fields: Any) -> Fields:
    """The same with values of its second turn changed."""
    whole = body()
    whole["turns"][1] |= fields
    return whole


def read(fields: Fields) -> AgentReport:
    """The report as it is read from a request; it can be stored."""
    report = read_report(json.loads(json.dumps(fields)))
    to_json(dump(report, "the report"), "the report")
    storable(report.model_dump(include={"attempt", "job_id", "ended_at"}), "the report")
    for turn in report.turns:
        storable(turn.model_dump(exclude={"metrics"}), "the turn")
        to_json(turn.metrics, "the metrics")
    return report


def test_a_report_without_a_fault_names_nothing() -> None:
    report = read(body(custom={"a": [1]}))

    assert report == AgentReport.model_validate(body(custom={"a": [1]}))
    assert report.unreadable == []


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (with_turn(seq=2**70), "turns.1.seq"),
        (with_turn(seq=-1), "turns.1.seq"),
        (with_turn(seq="one"), "turns.1.seq"),
        (with_turn(created_at="99999-01-01T00:00:00Z"), "turns.1.created_at"),
        (with_turn(created_at="0001-01-01T00:00:00+14:00"), "turns.1.created_at"),
        (with_turn(created_at=1e300), "turns.1.created_at"),
        (with_turn(created_at=None), "turns.1.created_at"),
        (with_turn(started_speaking_at="9999-12-31T23:59:59-14:00"), "turns.1.started_speaking_at"),
        (with_turn(attempt="one"), "turns.1.attempt"),
        (with_turn(attempt=2**70), "turns.1.attempt"),
        (with_turn(role=7), "turns.1.role"),
        (with_turn(item_id=""), "turns.1.item_id"),
        (with_turn(item_id="\ud800"), "turns.1.item_id"),
        (with_turn(agent_id="x" * 301), "turns.1.agent_id"),
        (with_turn(interrupted="yes"), "turns.1.interrupted"),
        (with_turn(metrics=[1]), "turns.1.metrics"),
        (with_turn(metrics={"deep": nested(300)}), "turns"),
        (body(deep=nested(300)), "deep"),
        (body(turns=[*body()["turns"], "a text"]), "turns.2"),
        (body(turns=[*body()["turns"], {}]), "turns.2"),
        (body(end_reason=5), "end_reason"),
        (body(report_version="two"), "report_version"),
        (body(version="two"), "version"),
        (body(ended_at="0001-01-01T00:00:00+14:00"), "ended_at"),
        (body(started_at={"seconds": 1}), "started_at"),
        (body(job_id=["AJ_1"]), "job_id"),
        (body(tool_calls=[{"call_id": "c", "name": "n", "ok": 1}]), "tool_calls.0.ok"),
        (body(tool_calls=[{"call_id": "c"}]), "tool_calls.0"),
        (body(tool_calls={"call_id": "c"}), "tool_calls"),
        (body(errors=[{"stage": "s", "kind": "k", "recoverable": "no"}]), "errors.0.recoverable"),
        (body(hand_offs=[{"to_agent": "b", "at": 1e300}]), "hand_offs.0.at"),
        (body(usage="much"), "usage"),
        (body(missing_variables=["name", 5]), "missing_variables.1"),
        (body(recording={"state": "stored"}), "recording"),
        (
            body(recording={"attempt": 1, "state": "stored", "path": "p", "bytes": 2**70}),
            "recording.bytes",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unreadable_value_costs_itself_alone(fields: Fields, name: str) -> None:
    report = read(fields)

    assert report.unreadable == [name]
    assert [turn.text for turn in report.turns] == ["line 0", "line 1"]
    assert [turn.attempt for turn in report.turns] == [1, 1]
    if not name.startswith("end"):
        assert report.end_reason is ReportEnd.AGENT_ENDED


def test_a_turn_keeps_its_words_and_its_place() -> None:
    fields = with_turn(text="for \ud800four", role=None, created_at="tomorrow", item_id=7)

    [_, turn] = read(fields).turns

    assert (turn.text, turn.role, turn.created_at) == ("for ?four", Role.ASSISTANT, NOON)
    assert turn.item_id == "item-1"
    assert read(fields).digest() == read(fields).digest(), "as it has to be when it is sent again"


def test_a_text_that_is_too_long_is_cut() -> None:
    report = read(with_turn(text=LONG))

    assert report.turns[1].text == LONG[:-1]
    assert report.unreadable == ["turns.1.text"]


def test_the_first_turn_without_a_time_takes_one_that_is_known() -> None:
    fields = body()
    fields["turns"][0]["created_at"] = "never"
    assert [turn.created_at for turn in read(fields).turns] == [NOON, NOON]

    fields["turns"][1]["created_at"] = "never"
    assert [turn.created_at for turn in read(fields | {"ended_at": NOON.isoformat()}).turns] == [
        NOON,
        NOON,
    ]
    nowhere = read(fields)
    assert nowhere.turns == []
    assert {"turns.0", "turns.1"} <= set(nowhere.unreadable)


def test_many_unreadable_values_are_counted() -> None:
    fields = body(missing_variables=[5] * 300)

    report = read(fields)

    assert report.missing_variables == []
    assert report.unreadable[MAX_NAMED:] == ["and 200 more"]


def test_no_fault_is_worth_a_turn_more_than_another() -> None:
    fields = with_turn(seq=2**70, created_at=1e300)
    fields["turns"].insert(0, 7)
    fields["turns"].append({"text": "line 2"})

    report = read(fields)

    assert [turn.text for turn in report.turns] == ["line 0", "line 1", "line 2"]


@pytest.mark.parametrize("fields", [{}, {"attempt": 0}, {"attempt": "1"}, {"attempt": None}])
def test_without_a_valid_attempt_it_is_refused(fields: Fields) -> None:
    with pytest.raises(ValidationError, match="attempt"):
        read_report({**body(), "attempt": 0} | fields if fields else {"turns": []})


@pytest.mark.parametrize("no_report", [None, [], "x", 5])
def test_what_is_no_object_is_refused(no_report: object) -> None:
    with pytest.raises(ValidationError):
        read_report(no_report)


@pytest.mark.parametrize("depth", [97, 98, 99, 300])
def test_an_external_report_is_kept_as_deep_as_it_can_be_stored(depth: int) -> None:
    external = ForeignReport.model_validate({"odd": nested(depth), "room": "acme.front"})

    report = external.report(1, NOON)

    to_json(dump(report, "the report"), "the report")
    assert (report.unreadable == ["sdk_report"]) == (depth > 97)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_TURN = st.dictionaries(
    st.sampled_from(["item_id", "attempt", "seq", "role", "created_at", "metrics", "interrupted"]),
    _JSON,
)
_REPORT = st.dictionaries(
    st.sampled_from(
        [
            *("end_reason", "job_id", "error", "tool_calls", "hand_offs", "usage", "errors"),
            *("recording", "started_at", "ended_at", "foreign", "left_out", "report_version"),
        ]
    )
    | st.text(),
    st.lists(_JSON, max_size=3) | _JSON,
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(_REPORT, st.lists(_TURN, max_size=4))
def test_no_value_whatever_costs_a_turn_its_words(fields: Fields, turns: list[Fields]) -> None:
    said = [{**body()["turns"][0], **turn, "text": "words"} for turn in turns]

    report = read({**fields, **body(turns=[*body()["turns"], *said])})

    assert [turn.text for turn in report.turns][2:] == ["words"] * len(turns)
