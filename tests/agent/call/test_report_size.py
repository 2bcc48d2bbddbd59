"""A report is never larger than what the API takes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from livekit.agents import llm

from agent.call.end_cause import EndCause
from agent.call.report import MAX_OUTPUT_CHARS, report_records
from agent.call.turns import TurnLog
from agent.callbacks import CallbackClient
from agent.report_size import MAX_REPORT_BYTES
from agent.spool import Outbox, Record, RecordKind
from api.middleware import MAX_BODY_BYTES
from domain.transcripts.transcript import AgentReport, Turn
from domain.transcripts.usage import ModelUsage
from tests.agent.call.test_turns_and_report import report_of
from tests.agent.samples import new_entry, target, turn
from tests.fakes.callback_api import CallbackApi

LARGEST_ANSWER = 262_144
"""Of an HTTP tool, letters."""


async def handed_in(records: list[Record], folder: Path) -> CallbackApi:
    """An API after it was given these records, as an agent gives them."""
    async with CallbackApi() as api, CallbackClient(api.url, api.token) as client:
        outbox = Outbox(new_entry(folder, target(api)), client)
        for record in records:
            outbox.put(record)
        assert await outbox.close(grace=60)
    return api


def tool_work(count: int, output: str) -> list[llm.ChatItem]:
    items: list[llm.ChatItem] = []
    for number in range(count):
        call_id = str(number)
        items += [
            llm.FunctionCall(call_id=call_id, name="search", arguments="{}"),
            llm.FunctionCallOutput(call_id=call_id, output=output, is_error=False),
        ]
    return items


def test_the_report_is_well_below_what_the_api_takes() -> None:
    assert MAX_REPORT_BYTES * 2 <= MAX_BODY_BYTES


async def test_what_tools_answered_is_cut_and_marked(tmp_path: Path) -> None:
    report = report_of(tool_work(20, "x" * LARGEST_ANSWER), TurnLog(attempt=2), EndCause())
    api = await handed_in(report_records(report, {}), tmp_path)

    [sent] = api.of("report")
    assert len(sent.raw) < MAX_REPORT_BYTES
    outputs = [
        item["output"]
        for item in sent.body["sdk_report"]["chat_history"]["items"]
        if item["type"] == "function_call_output"
    ]
    cut = LARGEST_ANSWER - MAX_OUTPUT_CHARS
    assert outputs == ["x" * MAX_OUTPUT_CHARS + f" … [{cut} more characters were cut]"] * 20
    assert sent.body["left_out"] == []


async def test_a_short_answer_of_a_tool_is_kept_whole() -> None:
    report = report_of(tool_work(1, "found"), TurnLog(attempt=2), EndCause())

    [_, answer] = report.model_dump()["sdk_report"]["chat_history"]["items"]
    assert answer["output"] == "found"


async def test_the_sdks_report_is_left_out_where_it_is_too_much(tmp_path: Path) -> None:
    report = report_of(tool_work(2_000, "y" * 2_000), TurnLog(attempt=2), EndCause())
    api = await handed_in(report_records(report, {}), tmp_path)

    [sent] = api.of("report")
    assert len(sent.raw) < MAX_REPORT_BYTES
    assert sent.body["left_out"] == ["sdk_report"]
    assert len(sent.body["tool_calls"]) == 2_000
    assert AgentReport.model_validate(sent.body).left_out == ["sdk_report"]


async def test_turns_that_are_too_much_for_the_report_go_before_it(tmp_path: Path) -> None:
    turns = [turn(seq, text="€" * 60_000) for seq in range(20)]
    streamed: dict[str, Turn] = {each.item_id: each for each in turns[:18]}
    report = AgentReport(attempt=1, turns=turns)
    api = await handed_in(report_records(report, streamed), tmp_path)

    assert [key[1] for key in api.turns] == [each.item_id for each in turns[18:]]
    assert [request.route for request in api.received][-1] == "report"
    [sent] = api.reports
    assert "turns" not in sent
    assert sent["left_out"] == ["turns"]


def test_whatever_a_report_holds_it_fits() -> None:
    much: dict[str, Any] = {"text": "€" * 4_000_000}
    report = AgentReport.model_validate(
        {
            "attempt": 1,
            "end_reason": "caller_left",
            "turns": [turn(seq, text="€" * 64_000).model_dump() for seq in range(15)],
            "tool_calls": [
                {"call_id": str(n), "name": "t", "arguments": "€" * 64_000} for n in range(15)
            ],
            "hand_offs": [{"to_agent": "€" * 300, "at": datetime.now(UTC)} for _ in range(3_000)],
            "configured_otherwise": [{"field": "f", "reason": much["text"]}],
            "missing_variables": [much["text"]],
            "usage": [ModelUsage.model_validate(much)],
            "sdk_report": much,
        }
    )
    *turns, last = report_records(report, {})

    assert len(turns) == 15
    assert last.kind is RecordKind.REPORT
    assert len(last.model_dump_json().encode()) < MAX_REPORT_BYTES
    assert last.body["end_reason"] == "caller_left"
