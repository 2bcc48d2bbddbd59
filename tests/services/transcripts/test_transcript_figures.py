"""What a transcript's header counts: usage, cost, latency, tool calls, recordings."""

import uuid
from collections.abc import AsyncGenerator
from datetime import date
from typing import Any

import pytest

from adapters.mongo.archive import MongoArchive
from adapters.mongo.client import connect
from domain.ids import SessionKey
from domain.recordings.recording import CallRecording, RecordingState
from domain.transcripts.listening import Heard
from domain.transcripts.ports import TranscriptArchive
from domain.transcripts.pricing import Price, PriceTable, Rates
from domain.transcripts.report_items import ToolCall
from domain.transcripts.report_reading import read_report
from domain.transcripts.transcript import AgentReport, Role, Turn
from domain.transcripts.usage import ModelUsage
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import NOON, nested, report, turn
from tests.fakes.archives import MemoryTranscripts
from tests.servers import MongoServer

KEY = SessionKey("acme", "call-1")
PRICES = PriceTable(
    source="a test",
    date=date(2026, 1, 2),
    prices=(
        Price(provider="talk.test", model="thinker", rates=Rates(input=2, output=8)),
        Price(provider="talk.test", model="ears", rates=Rates(audio_minute=0.6)),
        Price(provider="talk.test", model="voice", rates=Rates(characters=10)),
    ),
)


def usage(kind: str, model: str, **counted: float) -> ModelUsage:
    return ModelUsage.model_validate(
        {"type": f"{kind}_usage", "provider": "talk.test", "model": model, **counted}
    )


def reported(job: str, *usages: ModelUsage, **fields: Any) -> AgentReport:
    return AgentReport(attempt=1, job_id=job, usage=list(usages), **fields)


@pytest.fixture(params=["memory", "mongodb"])
async def archive(
    request: pytest.FixtureRequest, mongo_server: MongoServer
) -> AsyncGenerator[TranscriptArchive]:
    """The archive of the workflow tests, and the real one: they must not differ."""
    if request.param == "memory":
        yield MemoryTranscripts()
        return
    client = connect(mongo_server.uri)
    name = f"test-{uuid.uuid4().hex}"
    yield MongoArchive(client, name).transcripts
    # Its database stays: to drop it takes seconds, and the server ends with the test run.
    client.close()


async def test_usage_of_all_attempts_is_added_up_and_priced(archive: TranscriptArchive) -> None:
    transcripts = Transcripts(archive, PRICES)
    first = usage("llm", "thinker", input_tokens=1_000_000, output_tokens=500_000)
    await transcripts.record_report(KEY, reported("AJ_1", first), NOON)
    second = reported(
        "AJ_2",
        usage("llm", "thinker", input_tokens=1_000_000),
        usage("stt", "ears", audio_duration=90),
        usage("tts", "voice", characters_count=2_000_000),
    )
    await transcripts.record_report(KEY, second.model_copy(update={"attempt": 2}), NOON)

    header = await transcripts.seal(KEY, None, 2, NOON)

    assert [(one.model, one.input_tokens, one.output_tokens) for one in header.usage] == [
        ("thinker", 2_000_000, 500_000),
        ("ears", 0, 0),
        ("voice", 0, 0),
    ]
    assert header.cost is not None
    assert header.cost.prices_of == "2026-01-02"
    amounts = {line.model: line.amount for line in header.cost.lines}
    assert amounts == {"thinker": 8.0, "ears": 0.9, "voice": 20.0}
    assert (header.cost.total, header.cost.known) == (28.9, 28.9)
    assert await transcripts.header(KEY) == header


async def test_a_model_without_a_price_costs_null_and_so_does_the_call() -> None:
    transcripts = Transcripts(MemoryTranscripts(), PRICES)
    used = [
        usage("llm", "thinker", input_tokens=500_000),
        usage("stt", "unheard-of", audio_duration=60),
    ]
    await transcripts.record_report(KEY, reported("AJ_1", *used), NOON)

    cost = (await transcripts.seal(KEY, None, 1, NOON)).cost

    assert cost is not None
    assert (cost.total, cost.known) == (None, 1.0)
    assert {line.model: line.amount for line in cost.lines} == {"thinker": 1.0, "unheard-of": None}


async def test_a_later_report_of_the_same_job_replaces_its_figures() -> None:
    transcripts = Transcripts(MemoryTranscripts(), PRICES)
    for tokens in (100, 300):
        told = reported("AJ_1", usage("llm", "thinker", input_tokens=tokens))
        await transcripts.record_report(KEY, told, NOON)

    header = await transcripts.seal(KEY, None, 1, NOON)

    assert [one.input_tokens for one in header.usage] == [300]


async def test_latencies_interruptions_and_tool_calls_are_counted() -> None:
    transcripts = Transcripts(MemoryTranscripts(), PRICES)
    spoken = [
        turn(seq).model_copy(
            update={
                "role": Role.ASSISTANT,
                "interrupted": seq == 3,
                "metrics": {"e2e_latency": seq / 10, "llm_node_ttft": 0.2, "strange": "word"},
            }
        )
        for seq in range(1, 21)
    ]
    calls = [
        ToolCall(call_id="1", name="end_call", ok=True),
        ToolCall(call_id="2", name="search", ok=False),
        ToolCall(call_id="3", name="search"),
    ]
    await transcripts.record_report(KEY, reported("AJ_1", turns=spoken, tool_calls=calls), NOON)

    header = await transcripts.seal(KEY, None, 1, NOON)

    assert (header.interruptions, header.tool_calls, header.tool_errors) == (1, 3, 1)
    assert header.latency is not None
    assert header.latency.e2e is not None
    assert header.latency.e2e.model_dump() == {"count": 20, "p50": 1.0, "p95": 1.9, "max": 2.0}
    assert header.latency.llm is not None
    assert (header.latency.llm.count, header.latency.llm.p95) == (20, 0.2)
    assert header.latency.tts is None


def heard(segment: str, text: str) -> Turn:
    return Heard(segment=segment, role=Role.USER, text=text, began_at=NOON, ended_at=NOON).turn(1)


async def test_a_foreign_agents_own_report_replaces_what_was_heard(
    archive: TranscriptArchive,
) -> None:
    transcripts = Transcripts(archive)
    await transcripts.record_turns(KEY, [heard("SG_1", "hello"), heard("SG_2", "bye")], NOON)
    other = heard("SG_1", "of the next attempt").model_copy(update={"attempt": 2})
    await transcripts.record_turns(KEY, [other], NOON)

    await transcripts.record_report(KEY, report(turns=[turn(0)]), NOON)
    assert len(await transcripts.turns(KEY)) == 4, "our own agent's report replaces nothing"

    await transcripts.record_report(KEY, reported("AJ_f", turns=[turn(1)], foreign=True), NOON)
    await transcripts.record_turns(KEY, [heard("SG_3", "a last word")], NOON)
    header = await transcripts.seal(KEY, None, 1, NOON)

    assert [one.item_id for one in await transcripts.turns(KEY)] == [
        turn(0).item_id,
        turn(1).item_id,
        other.item_id,
    ]
    assert header.turn_count == 3


async def test_a_report_without_turns_leaves_what_was_heard() -> None:
    transcripts = Transcripts(MemoryTranscripts())
    await transcripts.record_turns(KEY, [heard("SG_1", "hello")], NOON)

    await transcripts.record_report(KEY, reported("AJ_f", foreign=True), NOON)

    assert len(await transcripts.turns(KEY)) == 1


async def test_unreadable_values_of_a_report_do_not_keep_it_from_being_sealed(
    archive: TranscriptArchive,
) -> None:
    transcripts = Transcripts(archive)
    said = turn(0, metrics={"e2e_latency": 10**400}).model_dump(mode="json")
    reported = read_report(
        {
            "attempt": 1,
            "turns": [said, said | {"item_id": "i1", "seq": 2**70}],
            "recording": {
                **recording(RecordingState.STORED).model_dump(mode="json"),
                "bytes": 2**70,
                "started_at": "0001-01-01T00:00:00+14:00",
            },
            "usage": [{"input_tokens": 10**400}],
            "deep": nested(300),
        }
    )

    await transcripts.record_report(KEY, reported, NOON)

    header = await transcripts.seal(KEY, None, 1, NOON)
    assert (header.turn_count, header.complete) == (2, True)
    [found] = await transcripts.reports(KEY)
    assert {"turns.1.seq", "recording.bytes", "recording.started_at", "deep"} <= set(
        found.unreadable
    )


def recording(state: RecordingState, **fields: Any) -> CallRecording:
    return CallRecording(attempt=1, state=state, path="acme/call-1/1-AJ_1.ogg", **fields)


async def test_a_recording_is_linked_once_it_is_stored(archive: TranscriptArchive) -> None:
    transcripts = Transcripts(archive)
    pending = recording(RecordingState.PENDING, started_at=NOON)
    await transcripts.record_report(KEY, reported("AJ_1", recording=pending), NOON)
    assert (await transcripts.seal(KEY, None, 1, NOON)).recordings == [pending]

    stored = recording(RecordingState.STORED, started_at=NOON, bytes=7)
    await transcripts.record_recording(KEY, stored, NOON)
    late = recording(RecordingState.FAILED, error="a word that came late")
    await transcripts.record_recording(KEY, late, NOON)

    header = await transcripts.header(KEY)
    assert header is not None
    assert header.recordings == [stored]
    assert await transcripts.recordings(KEY) == [stored]
