"""Conversation items as turns, and the report over them."""

import json
from datetime import UTC, datetime
from typing import cast

from livekit.agents import AgentSession, llm
from livekit.agents.voice.report import SessionReport

from agent.ending import Ending
from agent.report import build_report
from agent.turns import TurnLog, restored
from domain.transcript import MAX_TURN_CHARS, AgentReport, ReportEnd, Role
from tests.agent.samples import turn

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def message(role: llm.ChatRole, text: str, **metrics: float) -> llm.ChatMessage:
    return llm.ChatMessage(
        role=role,
        content=[text],
        created_at=NOW.timestamp(),
        metrics=cast(llm.MetricsReport, metrics),
    )


def report_of(items: list[llm.ChatItem], turn_log: TurnLog, ending: Ending) -> AgentReport:
    session = AgentSession[None](vad=None)
    sdk = SessionReport(
        job_id="AJ_1",
        room_id="RM_1",
        room="local.room",
        options=session.options,
        events=[],
        chat_history=llm.ChatContext(items),
    )
    return build_report(
        attempt=2, job_id="AJ_1", ending=ending, turn_log=turn_log, started_at=NOW, sdk=sdk
    )


def test_a_turn_has_who_said_what_when_and_the_latencies() -> None:
    item = message(
        "assistant", "Hello!", started_speaking_at=NOW.timestamp() + 1, llm_node_ttft=0.25
    )
    item.interrupted = True
    spoken = TurnLog(attempt=2).turn(item)

    assert spoken is not None
    assert (spoken.item_id, spoken.attempt, spoken.seq) == (item.id, 2, 0)
    assert (spoken.role, spoken.text, spoken.interrupted) == (Role.ASSISTANT, "Hello!", True)
    assert spoken.started_speaking_at == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert spoken.stopped_speaking_at is None
    assert spoken.metrics == {"llm_node_ttft": 0.25}


def test_only_what_somebody_said_is_a_turn() -> None:
    log = TurnLog(attempt=1)

    assert log.turn(message("system", "be nice")) is None
    assert log.turn(message("user", "")) is None
    assert log.turn(llm.AgentHandoff(new_agent_id="a")) is None
    said = log.turn(message("user", "hi"))
    assert said is not None
    assert said.seq == 0


def test_an_item_keeps_its_number() -> None:
    log = TurnLog(attempt=1)
    items = [message("user", text) for text in ("a", "b", "c")]
    first = [turn.seq for item in items if (turn := log.turn(item))]
    again = [turn.seq for item in reversed(items) if (turn := log.turn(item))]

    assert first == [0, 1, 2]
    assert again == [2, 1, 0]


def test_a_text_that_is_too_long_is_cut() -> None:
    spoken = TurnLog(attempt=1).turn(message("user", "x" * (MAX_TURN_CHARS + 5)))

    assert spoken is not None
    assert len(spoken.text) == MAX_TURN_CHARS


def test_a_replacement_knows_what_was_said() -> None:
    context = restored([turn(0, text="Hello!"), turn(1, text="A table for two.")])

    assert [(item.role, item.text_content) for item in context.messages()] == [
        ("assistant", "Hello!"),
        ("user", "A table for two."),
    ]


def test_the_report_has_the_numbers_of_the_stream_and_goes_on_from_them() -> None:
    log = TurnLog(attempt=2)
    streamed, missed = message("user", "hi"), message("assistant", "hello")
    log.turn(streamed)
    ending = Ending()
    ending.note(ReportEnd.MAX_DURATION)
    report = report_of([streamed, missed], log, ending)

    assert [(turn.item_id, turn.seq) for turn in report.turns] == [(streamed.id, 0), (missed.id, 1)]
    assert (report.attempt, report.job_id) == (2, "AJ_1")
    assert report.end_reason is ReportEnd.MAX_DURATION
    assert report.ended_at is not None
    assert report.agent_version is not None
    assert report.agent_version.startswith("everline ")


def test_the_report_is_json_and_has_no_instructions() -> None:
    items: list[llm.ChatItem] = [
        llm.AgentConfigUpdate(instructions="secret prompt"),
        message("system", "secret prompt"),
        message("user", "hi"),
        llm.FunctionCall(call_id="c", name="end_call", arguments="{}"),
    ]
    text = report_of(items, TurnLog(attempt=2), Ending()).model_dump_json()

    assert "secret prompt" not in text
    sdk_items = json.loads(text)["sdk_report"]["chat_history"]["items"]
    assert [item["type"] for item in sdk_items] == ["message", "function_call"]


def test_a_session_that_never_started_reports_its_error() -> None:
    ending = Ending()
    ending.note(ReportEnd.ERROR, "no room")
    report = build_report(
        attempt=1, job_id="AJ_1", ending=ending, turn_log=TurnLog(1), started_at=NOW, sdk=None
    )

    assert (report.end_reason, report.error, report.turns) == (ReportEnd.ERROR, "no room", [])
