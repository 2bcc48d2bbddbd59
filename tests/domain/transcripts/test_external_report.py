"""Reports of agents that are not ours are read as far as they can be, whatever their shape."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.agents import AgentSession, llm
from livekit.agents.metrics import LLMModelUsage
from livekit.agents.voice.report import SessionReport

from domain.sessions.end_reasons import ReportEnd
from domain.transcripts.external_report import ForeignReport, is_own_report
from domain.transcripts.transcript import AgentReport, Role, ordered

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
Shape = dict[str, Any]

MESSAGES = [
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "A table for two."},
]


def sdk_report() -> Shape:
    """What the installed SDK makes of a session, as an agent would send it."""
    call = llm.FunctionCall(call_id="c1", name="book", arguments='{"n": 2}', created_at=1_000.0)
    output = llm.FunctionCallOutput(
        call_id="c1", name="book", output="done", is_error=False, created_at=1_001.5
    )
    user = llm.ChatMessage(role="user", content=["A table for two."], created_at=999.0)
    cut = llm.ChatMessage(role="assistant", content=["Your table"], interrupted=True)
    cut.metrics = {"e2e_latency": 1.25, "started_speaking_at": 1_002.0}
    items: list[llm.ChatItem] = [
        llm.AgentConfigUpdate(instructions="secret prompt"),
        llm.ChatMessage(role="system", content=["secret prompt"]),
        user,
        call,
        output,
        llm.AgentHandoff(old_agent_id="desk", new_agent_id="kitchen"),
        cut,
    ]
    report = SessionReport(
        job_id="AJ_1",
        room_id="RM_1",
        room="acme.front",
        # Needs a running loop.
        options=AgentSession[None](vad=None).options,
        events=[],
        chat_history=llm.ChatContext(items),
        model_usage=[LLMModelUsage(provider="api.openai.com", model="gpt-4.1", input_tokens=7)],
    )
    # The SDK declares a bare `dict`, whose types are unknown.
    plain: Shape = json.loads(json.dumps(report.to_dict(), default=str))  # pyright: ignore[reportUnknownMemberType]
    return plain


def read(shape: Shape) -> AgentReport:
    return ForeignReport.model_validate(shape).report(attempt=3, now=NOW)


async def test_the_sdks_own_report_is_read_in_full() -> None:
    shape = sdk_report()
    report = read(shape)

    assert ForeignReport.model_validate(shape).room_name() == "acme.front"
    assert (report.attempt, report.job_id, report.foreign) == (3, "AJ_1", True)
    assert [(turn.role, turn.text, turn.interrupted) for turn in report.turns] == [
        (Role.USER, "A table for two.", False),
        (Role.ASSISTANT, "Your table", True),
    ]
    assert report.turns[0].created_at == datetime.fromtimestamp(999, UTC)
    assert report.turns[1].metrics == {"e2e_latency": 1.25}
    [call] = report.tool_calls
    assert (call.name, call.seconds, call.ok) == ("book", 1.5, True)
    [hand_off] = report.hand_offs
    assert (hand_off.from_agent, hand_off.to_agent) == ("desk", "kitchen")
    assert [(one.model, one.input_tokens) for one in report.usage] == [("gpt-4.1", 7)]
    assert report.agent_version == f"livekit-agents {shape['sdk_version']}"
    assert "secret prompt" not in json.dumps(report.model_dump(mode="json"))


@pytest.mark.parametrize(
    "shape",
    [
        {"room": "acme.front", "chat_history": {"items": MESSAGES}},
        {"roomName": "acme.front", "chatHistory": {"items": MESSAGES}},
        {"room_name": "acme.front", "history": MESSAGES},
        {"roomName": "acme.front", "sessionReport": {"job_id": "AJ"}, "conversation": MESSAGES},
        {"session_report": {"room": "acme.front", "chat_history": {"items": MESSAGES}}},
        {"report": {"roomName": "acme.front"}, "conversation_history": {"messages": MESSAGES}},
        {
            "room": "acme.front",
            "transcript": [
                {"speaker": "Agent", "text": "Hello.", "timestamp": 1_700_000_000},
                {"speaker": "Customer", "text": "A table for two.", "timestamp": 1_700_000_001_000},
            ],
        },
        {
            "room": "acme.front",
            "messages": [
                {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
                {"role": "user", "content": ["A table for two."], "newer": {"than": ["us"]}},
            ],
        },
    ],
)
def test_older_and_newer_shapes_are_read(shape: Shape) -> None:
    report = read(shape)

    assert ForeignReport.model_validate(shape).room_name() == "acme.front"
    assert [(turn.role.value, turn.text) for turn in report.turns] == [
        ("assistant", "Hello."),
        ("user", "A table for two."),
    ]
    assert ordered(reversed(report.turns)) == report.turns
    assert report.end_reason is ReportEnd.AGENT_ENDED
    assert read(shape) == report, "the same report has the same turns when it is sent again"


@pytest.mark.parametrize(
    ("word", "end"),
    [
        ("CR_ERROR", ReportEnd.ERROR),
        ("error", ReportEnd.ERROR),
        ("CR_PARTICIPANT_DISCONNECTED", ReportEnd.CALLER_LEFT),
        ("participant_disconnected", ReportEnd.CALLER_LEFT),
        ("CR_JOB_SHUTDOWN", ReportEnd.AGENT_ENDED),
        ("task_completed", ReportEnd.AGENT_ENDED),
        ("CR_OF_A_NEWER_SDK", ReportEnd.AGENT_ENDED),
        (None, ReportEnd.AGENT_ENDED),
    ],
)
def test_why_it_ended(word: str | None, end: ReportEnd) -> None:
    assert read({"room": "acme.front", "close_reason": word}).end_reason is end


NODE_ITEMS = [
    {
        "type": "message",
        "role": "system",
        "content": ["secret prompt"],
        "createdAt": 1_700_000_000_000,
    },
    {
        "type": "message",
        "role": "assistant",
        "content": ["Hello."],
        "createdAt": 1_700_000_000_500,
        "metrics": {"llmNodeTtft": 0.4, "startedSpeakingAt": 1_700_000_000.75},
    },
    {
        "type": "function_call",
        "callId": "c1",
        "name": "book",
        "args": '{"n": 2}',
        "createdAt": 1_700_000_001_000,
    },
    {"type": "function_call", "callId": "c2", "name": "pay", "args": "{}"},
    {
        "type": "function_call_output",
        "callId": "c1",
        "name": "book",
        "output": "full",
        "isError": True,
        "createdAt": 1_700_000_002_500,
    },
    {"type": "agent_handoff", "oldAgentId": "desk", "newAgentId": "kitchen"},
]


def test_the_report_of_the_sdk_for_node_is_read_in_full() -> None:
    """`sessionReportToJSON`: the report's own fields in snake case, all below in camel case."""
    report = read(
        {
            "job_id": "AJ_1",
            "room": "acme.front",
            "events": [{"type": "close", "reason": "participant_disconnected", "error": None}],
            "chat_history": {"items": NODE_ITEMS},
            "timestamp": 1_700_000_009_000,
            "usage": [
                {"type": "llm_usage", "model": "gpt-4.1", "inputTokens": 10, "outputTokens": 5},
                {"type": "stt_usage", "model": "nova-3", "audioDurationMs": 2_500},
            ],
        }
    )

    assert report.end_reason is ReportEnd.CALLER_LEFT
    assert report.ended_at == datetime.fromtimestamp(1_700_000_009, UTC)
    [turn] = report.turns
    assert (turn.text, turn.metrics) == ("Hello.", {"llm_node_ttft": 0.4})
    assert turn.started_speaking_at == datetime.fromtimestamp(1_700_000_000.75, UTC)
    assert [(one.call_id, one.name, one.ok, one.seconds) for one in report.tool_calls] == [
        ("c1", "book", False, 1.5),
        ("c2", "pay", None, None),
    ]
    assert report.tool_calls[0].arguments == '{"n": 2}'
    assert [(one.from_agent, one.to_agent) for one in report.hand_offs] == [("desk", "kitchen")]
    llm_usage, stt_usage = report.usage
    assert (llm_usage.input_tokens, llm_usage.output_tokens) == (10, 5)
    assert (stt_usage.audio_duration, stt_usage.model_extra) == (2.5, {})
    assert "secret prompt" not in json.dumps(report.model_dump(mode="json"))


def test_arguments_that_were_parsed_on_the_way_stay_json() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "book", "arguments": {"n": 2}}

    [read_call] = read({"room": "acme.front", "items": [call]}).tool_calls

    assert json.loads(read_call.arguments) == {"n": 2}


def test_the_last_close_event_tells_the_end_where_no_field_does() -> None:
    events = [
        {"type": "close", "reason": "task_completed"},
        {"type": "error"},
        {"type": "close", "reason": "error"},
    ]

    report = read({"room": "acme.front", "events": events, "error": "LLM is away"})

    assert (report.end_reason, report.close_reason) == (ReportEnd.ERROR, "error")
    told = read({"room": "acme.front", "events": events, "close_reason": "CR_COMPLETED"})
    assert told.end_reason is ReportEnd.AGENT_ENDED


@pytest.mark.parametrize("room", [7, None, ["acme.front"], "x" * 301])
def test_an_unreadable_room_costs_itself_alone(room: object) -> None:
    external = ForeignReport.model_validate({"room": room, "messages": MESSAGES})

    assert external.room_name() is None
    assert [turn.text for turn in external.report(1, NOW).turns] == ["Hello.", "A table for two."]


def test_times_beyond_the_calendar_are_left_out() -> None:
    message = {"role": "user", "content": "Hello.", "created_at": "9999-12-31T23:59:59-14:00"}

    [turn] = read({"messages": [message], "started_at": "0001-01-01T00:00:00+14:00"}).turns

    assert (turn.text, turn.created_at) == ("Hello.", NOW)


def test_only_everlines_agent_worker_writes_its_own_reports() -> None:
    own = AgentReport(attempt=1).model_dump(mode="json")
    external: list[Shape] = [
        sdk_report(),
        {"attempt": 1},
        {"attempt": 1, "turns": MESSAGES},
        {"attempt": 1, "report_version": 2, "chat_history": {"items": MESSAGES}},
        {"report_version": 2, "foreign": False},
    ]

    assert is_own_report(own)
    assert not any(map(is_own_report, external))
    assert [turn.text for turn in read(external[2]).turns] == ["Hello.", "A table for two."]


def test_what_is_not_understood_is_kept() -> None:
    report = read({"room": "acme.front", "mood": {"caller": "content"}})

    assert report.model_dump()["sdk_report"] == {"mood": {"caller": "content"}}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_KNOWN = st.sampled_from(
    [
        *("chat_history", "items", "messages", "usage", "close_reason", "timestamp", "report"),
        *("error", "events"),
    ]
)
_ITEM = st.dictionaries(
    st.sampled_from(
        [
            *("role", "content", "text", "type", "id", "created_at", "metrics", "call_id"),
            *("is_error", "createdAt", "callId", "args", "isError", "audioDurationMs", "reason"),
        ]
    ),
    st.sampled_from(["user", "assistant", "function_call", "function_call_output"]) | _JSON,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_KNOWN, st.lists(_ITEM, max_size=4) | _JSON, max_size=5))
def test_no_shape_whatever_breaks_the_reading(shape: Shape) -> None:
    """What comes from outside over HTTP may be anything that JSON can be."""
    report = read(json.loads(json.dumps(shape)))

    assert report.foreign
    assert len({turn.seq for turn in report.turns}) == len(report.turns)
    report.digest()
