"""A session may have so many turns and bytes: what fits is stored, and the rest is counted."""

import asyncio

import pytest

from adapters.mongo import MongoArchive
from adapters.mongo.client import Client, Database
from domain.errors import EverlineError
from domain.ids import SessionKey
from domain.transcripts.transcript import TranscriptFull, TranscriptLimits
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import NOON, report, turn


@pytest.fixture
def few(mongo_client: Client, database: Database, archive: MongoArchive) -> MongoArchive:
    """The archive with a limit of ten turns."""
    return MongoArchive(mongo_client, database.name, TranscriptLimits(turns=10))


@pytest.fixture
def short(mongo_client: Client, database: Database, archive: MongoArchive) -> MongoArchive:
    """The archive with a limit of 100 bytes."""
    return MongoArchive(mongo_client, database.name, TranscriptLimits(bytes=100))


async def seqs(archive: MongoArchive, key: SessionKey) -> list[int | None]:
    return [one.seq for one in await archive.transcripts.turns(key)]


async def test_the_turns_that_fit_are_stored_and_the_error_counts_the_others(
    few: MongoArchive, key: SessionKey
) -> None:
    await few.transcripts.add_turns(key, [turn(seq) for seq in range(8)])

    with pytest.raises(TranscriptFull) as full:
        await few.transcripts.add_turns(key, [turn(seq) for seq in range(5, 15)])

    assert full.value.left_out == 5
    assert "turns that were not stored: 5" in full.value.message
    assert "up to 10 turns" in full.value.message
    assert "EVERLINE_MAX_TURNS_PER_SESSION" in (full.value.cure or "")
    assert await seqs(few, key) == list(range(10))


async def test_a_full_transcript_still_takes_what_it_knows(
    few: MongoArchive, key: SessionKey
) -> None:
    await few.transcripts.add_turns(key, [turn(seq) for seq in range(10)])

    assert await few.transcripts.add_turns(key, [turn(seq) for seq in range(10)]) == 0
    assert await few.transcripts.add_turns(key, [turn(3, "revised")]) == 0
    with pytest.raises(TranscriptFull):
        await few.transcripts.add_turns(key, [turn(10), turn(4, "revised as well")])

    texts = [one.text for one in await few.transcripts.turns(key)]
    assert texts[3:5] == ["revised", "revised as well"]
    assert await seqs(few, key) == list(range(10))


async def test_a_limit_counts_each_session_by_itself(few: MongoArchive, key: SessionKey) -> None:
    await few.transcripts.add_turns(key, [turn(seq) for seq in range(10)])

    other = SessionKey(key.org, "call-2")
    assert await few.transcripts.add_turns(other, [turn(seq) for seq in range(10)]) == 10


async def test_deliveries_at_the_same_time_are_counted_once(
    few: MongoArchive, key: SessionKey
) -> None:
    turns = [turn(seq) for seq in range(9)]

    # Some may be refused, because several count the same turns at the same time.
    await asyncio.gather(
        *(few.transcripts.add_turns(key, turns) for _ in range(5)), return_exceptions=True
    )

    assert await seqs(few, key) == list(range(9))
    assert await few.transcripts.add_turns(key, [turn(9)]) == 1
    with pytest.raises(TranscriptFull):
        await few.transcripts.add_turns(key, [turn(10)])


async def test_no_number_of_writers_exceeds_the_limit(few: MongoArchive, key: SessionKey) -> None:
    answers = await asyncio.gather(
        *(few.transcripts.add_turns(key, [turn(seq)]) for seq in range(20)),
        return_exceptions=True,
    )

    assert len(await seqs(few, key)) <= 10
    refused = [one for one in answers if isinstance(one, BaseException)]
    assert len(refused) >= 10
    assert all(isinstance(one, TranscriptFull) for one in refused)


@pytest.mark.parametrize("text", ["x" * 60, "é" * 30], ids=["ascii", "two bytes each"])
async def test_bytes_are_limited_by_a_setting_of_their_own(
    short: MongoArchive, key: SessionKey, text: str
) -> None:
    await short.transcripts.add_turns(key, [turn(0, text)])

    with pytest.raises(TranscriptFull) as full:
        await short.transcripts.add_turns(key, [turn(1, text), turn(2, "short")])

    assert full.value.left_out == 1
    assert "up to 100 bytes of turns" in full.value.message
    assert "EVERLINE_MAX_TURN_BYTES_PER_SESSION" in (full.value.cure or "")
    assert await seqs(short, key) == [0, 2]


async def test_metrics_and_revisions_count_as_bytes(short: MongoArchive, key: SessionKey) -> None:
    await short.transcripts.add_turns(key, [turn(0, "x" * 60)])

    for grown in (turn(0, "x" * 120), turn(0, "x" * 60, metrics={"m": "y" * 60})):
        with pytest.raises(TranscriptFull):
            await short.transcripts.add_turns(key, [grown])
    assert await short.transcripts.add_turns(key, [turn(0, "shorter")]) == 0

    [stored] = await short.transcripts.turns(key)
    assert (stored.text, stored.metrics) == ("shorter", {})
    assert await short.transcripts.add_turns(key, [turn(1, "z" * 60)]) == 1, "the room is back"


async def test_zero_is_no_limit(
    mongo_client: Client, database: Database, archive: MongoArchive, key: SessionKey
) -> None:
    unlimited = MongoArchive(mongo_client, database.name, TranscriptLimits(0, 0))

    assert await unlimited.transcripts.add_turns(key, [turn(seq) for seq in range(30)]) == 30


async def test_a_report_over_the_limit_is_stored_whole_and_the_header_counts_the_turns(
    few: MongoArchive, key: SessionKey
) -> None:
    transcripts = Transcripts(few.transcripts)
    await transcripts.record_turns(key, [turn(seq) for seq in range(4)], NOON)
    told = report(turns=[turn(seq) for seq in range(13)])

    assert await transcripts.record_report(key, told, NOON) is True
    assert await transcripts.record_report(key, told, NOON) is False
    header = await transcripts.seal(key, None, 1, NOON)

    assert (header.turn_count, header.turns_left_out, header.complete) == (10, 3, True)
    [kept] = await transcripts.reports(key)
    assert len(kept.turns) == 13


async def test_turns_over_the_limit_renew_the_header_of_those_that_fit(
    few: MongoArchive, key: SessionKey
) -> None:
    transcripts = Transcripts(few.transcripts)
    await transcripts.seal(key, None, 1, NOON)

    with pytest.raises(EverlineError):
        await transcripts.record_turns(key, [turn(seq) for seq in range(12)], NOON)

    header = await transcripts.header(key)
    assert header is not None
    assert header.turn_count == 10


async def test_a_deleted_transcript_is_dropped_and_never_full(
    few: MongoArchive, key: SessionKey, database: Database
) -> None:
    await few.transcripts.add_turns(key, [turn(seq) for seq in range(10)])
    await few.transcript_lines.remove(key, "test", NOON)

    assert await few.transcripts.add_turns(key, [turn(seq) for seq in range(12)]) is None

    assert await database["turn_totals"].count_documents({}) == 0
