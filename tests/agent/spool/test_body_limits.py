"""Delivery through proxies that limit the size of a request."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from agent.callbacks import CallbackClient
from agent.spool import Drainer, Outbox, Record
from domain.transcripts.transcript import AgentReport
from tests.agent.samples import append, new_entry, report_record, target, turn, turn_record
from tests.fakes.callback_api import CallbackApi, ProxyAnswer

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture
async def api() -> AsyncGenerator[CallbackApi]:
    async with CallbackApi() as server:
        yield server


def left(spool: Path) -> list[str]:
    """What is in the spool."""
    return [path.name for path in spool.iterdir()]


async def drained(api: CallbackApi, spool: Path, *records: Record) -> None:
    """The API after an agent server has delivered these records of a job that is gone."""
    entry = new_entry(spool, target(api))
    for record in records:
        append(entry, record)
    entry.release()
    await Drainer(spool).once()
    assert left(spool) == []


def large_report() -> Record:
    """A report with something large in each of its fields, 1.6 MiB."""
    text = "€" * 20_000
    at = "2026-01-01T00:00:00Z"
    fields: dict[str, Any] = {
        "turns": [turn(n, text=f"{n} {text}").model_dump(mode="json") for n in range(10)],
        "tool_calls": [
            {"call_id": str(n), "name": "search", "arguments": text, "started_at": at}
            for n in range(5)
        ],
        "hand_offs": [{"to_agent": "b" * 300, "at": at} for _ in range(200)],
        "configured_otherwise": [{"field": "f", "reason": "r" * 60_000}],
        "missing_variables": ["v" * 60_000],
        "errors": [{"at": at, "stage": "llm_error", "kind": "k" * 200} for _ in range(200)],
        "error": "e" * 2_000,
        "sdk_report": {"chat_history": {"items": ["x" * 300_000]}},
    }
    return report_record(job_id="AJ_1", end_reason="agent_ended", **fields)


async def test_a_report_that_fits_is_sent_whole(api: CallbackApi, tmp_path: Path) -> None:
    report = large_report()
    await drained(api, tmp_path, report)

    assert api.reports == [report.body]
    assert api.turns == {}


async def test_nginxs_default_takes_a_report_without_the_sdks_own(
    api: CallbackApi, tmp_path: Path
) -> None:
    api.proxy_limit = MIB
    report = report_record(turns=[turn(0).model_dump(mode="json")], sdk_report={"x": "x" * MIB})
    await drained(api, tmp_path, report)

    [sent] = api.reports
    assert sent["left_out"] == ["sdk_report"]
    assert sent["turns"] == report.body["turns"]
    assert len(api.proxied) == 1


@pytest.mark.parametrize("limit", [MIB, 512 * KIB, 128 * KIB, 64 * KIB])
async def test_a_report_gets_through_any_limit_and_loses_no_turn(
    tmp_path: Path, limit: int
) -> None:
    answers = (ProxyAnswer(413), ProxyAnswer(403), ProxyAnswer(400), None)
    # Beside each other, because a delivery that was refused is tried again after a pause.
    async with asyncio.TaskGroup() as deliveries:
        for number, over_limit in enumerate(answers):
            spool = tmp_path / str(number)
            deliveries.create_task(_gets_through(spool, limit, over_limit), name=str(over_limit))


async def _gets_through(spool: Path, limit: int, over_limit: ProxyAnswer | None) -> None:
    report = large_report()
    async with CallbackApi() as api:
        api.proxy_limit, api.over_limit = limit, over_limit
        await drained(api, spool, report)

        [sent] = api.reports
        assert "sdk_report" in sent["left_out"]
        delivered = sent.get("turns") or list(api.turns.values())
        assert delivered == report.body["turns"]
        assert api.received[-1].route == "report", "the turns before it"
        assert AgentReport.model_validate(sent).end_reason == "agent_ended"


@pytest.mark.parametrize("limit", [16 * KIB, 4 * KIB, KIB])
async def test_what_says_that_a_call_has_ended_is_less_than_a_kilobyte(
    api: CallbackApi, tmp_path: Path, limit: int
) -> None:
    api.proxy_limit = limit
    report = large_report()
    await drained(api, tmp_path, report.model_copy(update={"body": report.body | {"turns": []}}))

    [sent] = api.reports
    assert (sent["attempt"], sent["job_id"], sent["end_reason"]) == (1, "AJ_1", "agent_ended")
    assert {"tool_calls", "errors"} <= {*sent["left_out"]}
    # Nobody is asked to store no turns.
    assert [request.route for request in api.received] == ["report"]


async def test_a_job_cuts_its_report_within_its_time(api: CallbackApi, tmp_path: Path) -> None:
    api.proxy_limit = 128 * KIB
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(new_entry(tmp_path, target(api)), client)
        outbox.put(turn_record(20))
        outbox.put(large_report())
        assert await outbox.close(grace=30)

    assert len(api.turns) == 11
    assert len(api.reports) == 1


async def test_turns_that_are_too_much_together_go_in_parts(
    api: CallbackApi, tmp_path: Path
) -> None:
    api.proxy_limit = 64 * KIB
    turns = [turn_record(n, text="x" * 10_000) for n in range(30)]
    await drained(api, tmp_path, *turns, report_record())

    assert [each["seq"] for each in api.turns.values()] == list(range(30))
    assert len(api.reports) == 1


async def test_a_long_conversation_that_is_cut_from_its_report_goes_in_parts(
    api: CallbackApi, tmp_path: Path
) -> None:
    api.proxy_limit = 64 * KIB
    turns = [turn(n).model_dump(mode="json") for n in range(600)]
    await drained(api, tmp_path, report_record(turns=turns))

    assert [each["seq"] for each in api.turns.values()] == list(range(600))
    # As many as the API takes.
    assert max(len(request.body["turns"]) for request in api.of("turns")) <= 500


async def test_a_bad_turn_of_a_report_costs_itself_alone(api: CallbackApi, tmp_path: Path) -> None:
    api.proxy_limit = 64 * KIB
    api.refuse_turn = lambda turn: turn["seq"] == 5
    entry = new_entry(tmp_path, target(api))
    append(entry, large_report())
    entry.release()
    await Drainer(tmp_path).once()

    assert [each["seq"] for each in api.turns.values()] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert len(api.reports) == 1


async def test_a_limit_that_is_a_fault_cuts_nothing_for_good(
    api: CallbackApi, tmp_path: Path
) -> None:
    """A proxy that takes nothing at all is an outage."""
    report = large_report()
    entry = new_entry(tmp_path, target(api))
    append(entry, turn_record(20))
    append(entry, report)
    entry.release()
    api.proxy_limit = 1
    await Drainer(tmp_path).once()
    api.proxy_limit = None
    await Drainer(tmp_path).once()

    assert api.reports == [report.body]
    assert [each["seq"] for each in api.turns.values()] == [20]
    assert left(tmp_path) == []
