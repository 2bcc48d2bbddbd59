"""Conversation items as turns, and the report over them."""

import json
import math
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from livekit.agents import AgentEvent, AgentSession, APITimeoutError, CloseEvent, CloseReason, llm
from livekit.agents.metrics import LLMModelUsage
from livekit.agents.voice.events import ErrorEvent
from livekit.agents.voice.report import SessionReport

from agent.call.end_cause import EndCause
from agent.call.report import build_report
from agent.call.turns import TurnLog, restored
from agent.spool import Record, RecordKind
from domain.recordings.recording import CallRecording, RecordingState
from domain.sessions.end_reasons import ReportEnd
from domain.transcripts.transcript import MAX_TURN_CHARS, REPORT_VERSION, AgentReport, Role, Turn
from tests.agent.samples import turn

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def message(role: llm.ChatRole, text: str, **metrics: float) -> llm.ChatMessage:
    return llm.ChatMessage(
        role=role,
        content=[text],
        created_at=NOW.timestamp(),
        metrics=cast(llm.MetricsReport, metrics),
    )


def report_of(
    items: list[llm.ChatItem],
    turn_log: TurnLog,
    ending: EndCause,
    events: list[AgentEvent] | None = None,
    **further: Any,
) -> AgentReport:
    # Needs a running loop, which is why the tests that come here are coroutines.
    session = AgentSession[None](vad=None)
    sdk = SessionReport(
        job_id="AJ_1",
        room_id="RM_1",
        room="local.room",
        options=session.options,
        events=events or [],
        chat_history=llm.ChatContext(items),
        model_usage=[LLMModelUsage(provider="api.openai.com", model="gpt-4.1", input_tokens=7)],
    )
    return build_report(
        attempt=2,
        job_id="AJ_1",
        ending=ending,
        turn_log=turn_log,
        started_at=NOW,
        sdk=sdk,
        **further,
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


async def test_the_report_has_the_numbers_of_the_stream_and_goes_on_from_them() -> None:
    log = TurnLog(attempt=2)
    streamed, missed = message("user", "hi"), message("assistant", "hello")
    log.turn(streamed)
    ending = EndCause()
    ending.note(ReportEnd.MAX_DURATION)
    report = report_of([streamed, missed], log, ending)

    assert [(turn.item_id, turn.seq) for turn in report.turns] == [(streamed.id, 0), (missed.id, 1)]
    assert (report.attempt, report.job_id) == (2, "AJ_1")
    assert report.end_reason is ReportEnd.MAX_DURATION
    assert report.ended_at is not None
    assert report.agent_version is not None
    assert report.agent_version.startswith("everline ")


async def test_the_report_is_json_and_has_no_instructions() -> None:
    items: list[llm.ChatItem] = [
        llm.AgentConfigUpdate(instructions="secret prompt"),
        message("system", "secret prompt"),
        message("user", "hi"),
        llm.FunctionCall(call_id="c", name="end_call", arguments="{}"),
    ]
    text = report_of(items, TurnLog(attempt=2), EndCause()).model_dump_json()

    assert "secret prompt" not in text
    sdk_items = json.loads(text)["sdk_report"]["chat_history"]["items"]
    assert [item["type"] for item in sdk_items] == ["message", "function_call"]


def test_a_session_that_never_started_reports_its_error() -> None:
    ending = EndCause()
    ending.note(ReportEnd.ERROR, "no room")
    report = build_report(
        attempt=1, job_id="AJ_1", ending=ending, turn_log=TurnLog(1), started_at=NOW, sdk=None
    )

    assert (report.end_reason, report.error, report.turns) == (ReportEnd.ERROR, "no room", [])


async def test_tool_calls_have_their_time_and_their_success() -> None:
    began = NOW.timestamp()
    items: list[llm.ChatItem] = [
        llm.FunctionCall(call_id="1", name="search", arguments='{"q": "x"}', created_at=began),
        llm.FunctionCall(call_id="2", name="book", arguments="{}", created_at=began),
        llm.FunctionCallOutput(
            call_id="2", output="no table", is_error=True, created_at=began + 0.5
        ),
        llm.FunctionCallOutput(call_id="1", output="found", is_error=False, created_at=began + 2),
        llm.FunctionCall(call_id="3", name="end_call", arguments="{}", created_at=began + 3),
    ]
    report = report_of(items, TurnLog(attempt=2), EndCause())

    assert [(call.name, call.seconds, call.ok) for call in report.tool_calls] == [
        ("search", 2.0, True),
        ("book", 0.5, False),
        ("end_call", None, None),
    ]
    assert report.tool_calls[0].arguments == '{"q": "x"}'
    assert report.tool_calls[0].started_at == NOW


async def test_only_a_change_of_agents_is_a_hand_off() -> None:
    items: list[llm.ChatItem] = [
        llm.AgentHandoff(new_agent_id="desk", created_at=NOW.timestamp()),
        llm.AgentHandoff(old_agent_id="desk", new_agent_id="kitchen", created_at=NOW.timestamp()),
    ]
    report = report_of(items, TurnLog(attempt=2), EndCause())

    assert [(one.from_agent, one.to_agent, one.at) for one in report.hand_offs] == [
        ("desk", "kitchen", NOW)
    ]


async def test_errors_are_reported_without_what_they_quote() -> None:
    error = llm.LLMError(
        timestamp=NOW.timestamp(),
        label="openai.LLM",
        error=APITimeoutError("the prompt was: secret"),
        recoverable=True,
    )
    event = ErrorEvent(error=error, source=None, created_at=NOW.timestamp())
    report = report_of([], TurnLog(attempt=2), EndCause(), events=[event])

    [told] = report.errors
    assert (told.stage, told.kind, told.source) == ("llm_error", "APITimeoutError", "openai.LLM")
    assert (told.recoverable, told.at) == (True, NOW)
    assert "secret" not in report.model_dump_json()


async def test_the_report_is_complete_and_says_its_version() -> None:
    recording = CallRecording(attempt=2, state=RecordingState.PENDING, path="acme/s/2-AJ_1.ogg")
    report = report_of(
        [],
        TurnLog(attempt=2),
        EndCause(),
        events=[CloseEvent(reason=CloseReason.JOB_SHUTDOWN)],
        missing_variables=["guest"],
        recording=recording,
    )

    assert report.report_version == REPORT_VERSION
    assert (report.missing_variables, report.recording) == (["guest"], recording)
    assert report.close_reason == "CR_JOB_SHUTDOWN"
    assert [(one.type, one.model, one.input_tokens) for one in report.usage] == [
        ("llm_usage", "gpt-4.1", 7)
    ]


def test_reports_of_older_and_newer_agents_are_kept_with_all_they_hold() -> None:
    older = AgentReport.model_validate({"version": 1, "attempt": 1, "usage": [{"type": "x"}]})
    newer = AgentReport.model_validate(
        {
            "report_version": 99,
            "attempt": 1,
            "usage": [{"type": "llm_usage", "model": "m", "input_tokens": None, "new_tokens": 3}],
            "tool_calls": [{"call_id": "1", "name": "t", "reason": "new"}],
            "mood": "content",
        }
    )

    assert older.report_version == 1
    assert newer.report_version == 99
    kept = newer.model_dump()
    assert kept["mood"] == "content"
    assert (kept["usage"][0]["new_tokens"], kept["usage"][0]["input_tokens"]) == (3, 0)
    assert kept["tool_calls"][0]["reason"] == "new"


def test_whatever_a_model_or_a_plugin_makes_of_an_item_it_is_a_turn_that_can_be_stored() -> None:
    log = TurnLog(attempt=1)
    long = "x" * 250
    spoken = log.turn(llm.ChatMessage(id=f"{long}a\ud800", role="user", content=["half \ud83d"]))
    other = log.turn(llm.ChatMessage(id=f"{long}b", role="user", content=["whole"]))
    measured = log.turn(message("assistant", "hi", llm_node_ttft=math.nan, e2e_latency=0.5))

    assert spoken is not None
    assert other is not None
    assert measured is not None
    assert spoken.text == "half ?"
    assert len({spoken.item_id, other.item_id}) == 2
    assert measured.metrics == {"e2e_latency": 0.5}
    Turn.model_validate_json(spoken.model_dump_json())


def test_an_item_that_makes_no_turn_is_logged_without_its_words_and_skipped() -> None:
    log = TurnLog(attempt=1)
    broken = message("user", "my secret")
    broken.created_at = 1e300
    with structlog.testing.capture_logs() as logged:
        assert log.turn(broken) is None
    after = log.turn(message("user", "hi"))

    assert [line["event"] for line in logged] == ["item_is_no_turn"]
    assert "secret" not in str(logged)
    assert after is not None


async def test_half_a_character_costs_no_report() -> None:
    half = "\ud83d"
    items: list[llm.ChatItem] = [
        message("user", half),
        llm.FunctionCall(call_id=f"1{half}", name="search", arguments=f'{{"q": "{half}"}}'),
        llm.FunctionCallOutput(call_id=f"1{half}", output=half, is_error=False),
        llm.AgentHandoff(old_agent_id="desk", new_agent_id=f"kitchen{half}"),
    ]
    report = report_of(items, TurnLog(attempt=2), EndCause())

    assert [one.text for one in report.turns] == ["?"]
    assert [(one.call_id, one.arguments) for one in report.tool_calls] == [("1?", '{"q": "?"}')]
    assert [one.to_agent for one in report.hand_offs] == ["kitchen?"]
    Record(kind=RecordKind.REPORT, body=report.model_dump(mode="json")).model_dump_json()


async def test_a_report_that_cannot_be_built_is_handed_in_with_what_ends_the_call() -> None:
    ending = EndCause()
    ending.note(ReportEnd.CALLER_LEFT)
    broken = llm.FunctionCall(call_id="1", name="t", arguments="my secret", created_at=1e300)
    with structlog.testing.capture_logs() as logged:
        report = report_of([broken], TurnLog(attempt=2), ending)

    assert (report.attempt, report.job_id, report.end_reason) == (2, "AJ_1", ReportEnd.CALLER_LEFT)
    assert [(one.stage, one.kind) for one in report.errors] == [("report_error", "OverflowError")]
    assert [line["event"] for line in logged] == ["report_incomplete"]
    assert "secret" not in str(logged)
