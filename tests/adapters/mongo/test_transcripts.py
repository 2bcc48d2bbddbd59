"""Turns, reports and headers: once each, in order, complete, whatever comes and in which order."""

import asyncio
import random
from datetime import datetime
from typing import Any

import pytest

from adapters.mongo import MongoArchive
from adapters.mongo.client import Database
from adapters.mongo.transcripts.transcripts import BATCH
from domain.errors import InvalidInput
from domain.ids import SessionKey
from domain.transcripts.transcript import (
    MAX_REPORTS,
    TooManyReports,
    TranscriptHeader,
    transcript_digest,
)
from tests.adapters.mongo.examples import NOON, nested, report, turn

POISON: dict[str, Any] = {
    "nul in a key": {"a\0b": 1},
    "nul in a value": "a\0b",
    "a dollar key": {"$set": {"text": "gone"}},
    "a dotted key": {"a.b": {"c.d": 1}},
    "a lone surrogate": "\ud800",
    "an empty key": {"": 1},
    "an integer beyond 64 bits": 2**70,
    "a number that is none": float("inf"),
    "deep nesting": nested(90),
}


async def test_turns_are_stored_once_however_often_they_come(
    archive: MongoArchive, key: SessionKey
) -> None:
    turns = [turn(seq) for seq in range(5)]

    assert await archive.transcripts.add_turns(key, turns) == 5
    assert await archive.transcripts.add_turns(key, turns) == 0
    assert await archive.transcripts.add_turns(key, [*turns, turn(5)]) == 1
    assert [found.seq for found in await archive.transcripts.turns(key)] == [0, 1, 2, 3, 4, 5]


async def test_nothing_is_nothing(archive: MongoArchive, key: SessionKey) -> None:
    assert await archive.transcripts.add_turns(key, []) == 0
    assert await archive.transcripts.turns(key) == []
    assert await archive.transcripts.report_ids(key) == set()
    assert await archive.transcripts.header(key) is None


async def test_turns_come_back_in_transcript_order_whatever_the_order_of_arrival(
    archive: MongoArchive, key: SessionKey
) -> None:
    turns = [turn(seq, attempt=attempt) for attempt in (1, 2, 10) for seq in range(12)]
    shuffled = random.Random(7).sample(turns, len(turns))
    for start in range(0, len(shuffled), 5):
        await archive.transcripts.add_turns(key, shuffled[start : start + 5])

    assert await archive.transcripts.turns(key) == turns


async def test_the_same_item_of_two_attempts_is_two_turns(
    archive: MongoArchive, key: SessionKey
) -> None:
    await archive.transcripts.add_turns(key, [turn(0, "first"), turn(0, "second", attempt=2)])

    assert [found.text for found in await archive.transcripts.turns(key)] == ["first", "second"]


async def test_deliveries_at_the_same_time_store_each_turn_once(
    archive: MongoArchive, key: SessionKey
) -> None:
    turns = [turn(seq) for seq in range(20)]

    new = await asyncio.gather(*(archive.transcripts.add_turns(key, turns) for _ in range(6)))

    assert sum(filter(None, new)) == 20
    assert await archive.transcripts.turns(key) == turns


async def test_the_report_completes_and_revises_a_streamed_turn_and_keeps_its_place(
    archive: MongoArchive, key: SessionKey
) -> None:
    await archive.transcripts.add_turns(
        key, [turn(0, "as streamed"), turn(1).model_copy(update={"text": ""})]
    )
    complete = turn(
        0,
        "as reported",
        seq=7,
        interrupted=True,
        started_speaking_at=NOON,
        stopped_speaking_at=NOON,
        metrics={"e2e_latency": 1.25},
        agent_id="ag-bills",
    )

    reported = [complete, turn(1, "late text")]
    assert await archive.transcripts.add_turns(key, reported, reported=True) == 0

    first, second = await archive.transcripts.turns(key)
    assert first == complete.model_copy(update={"seq": 0})
    assert second.text == "late text"


REVISIONS = ["I", "I want", "I want a table for four", "A table"]


async def test_the_last_text_of_an_item_wins_and_each_revision_is_counted(
    archive: MongoArchive, key: SessionKey
) -> None:
    stored_at: list[datetime] = []
    for number, text in enumerate(REVISIONS):
        for _ in range(2):
            await archive.transcripts.add_turns(key, [turn(0, text)])
        [stored] = await archive.transcripts.stored_turns(key)
        assert (stored.turn, stored.revision) == (turn(0, text), number)
        assert stored.stored_at
        stored_at.append(stored.stored_at)
    assert stored_at == sorted(stored_at)

    empty = turn(0).model_copy(update={"text": ""})
    await archive.transcripts.add_turns(key, [empty])
    await archive.transcripts.add_turns(key, [turn(0, attempt=2)])

    assert [one.text for one in await archive.transcripts.turns(key)] == ["A table", "utterance 0"]


async def test_revisions_in_one_delivery_are_stored_in_their_order(
    archive: MongoArchive, key: SessionKey
) -> None:
    delivery = [turn(0, text) for text in REVISIONS]

    assert await archive.transcripts.add_turns(key, delivery) == 1
    first = await archive.transcripts.stored_turns(key)
    assert await archive.transcripts.add_turns(key, delivery) == 0

    assert await archive.transcripts.turns(key) == [turn(0, "A table")]
    assert await archive.transcripts.stored_turns(key) == first, "a repeat revises nothing"


async def test_another_author_does_not_revise_an_agents_turn(
    archive: MongoArchive, key: SessionKey
) -> None:
    note = turn(0, "as a client wrote it", seq=None)
    await archive.transcripts.add_turns(key, [turn(0, "as the agent sent it")])
    await archive.transcripts.add_turns(key, [note])
    assert await archive.transcripts.turns(key) == [turn(0, "as the agent sent it")]

    own = note.model_copy(update={"item_id": "note"})
    await archive.transcripts.add_turns(key, [own])
    await archive.transcripts.add_turns(key, [own.model_copy(update={"text": "corrected"})])
    assert [one.text for one in await archive.transcripts.turns(key)][-1] == "corrected"


async def test_a_long_report_is_stored_in_batches_and_costs_only_the_reading_when_it_comes_again(
    archive: MongoArchive, key: SessionKey
) -> None:
    turns = [turn(seq, started_speaking_at=NOON, metrics={"ttft": 0.5}) for seq in range(450)]
    assert await archive.transcripts.add_turns(key, turns[: BATCH + 1], reported=True) == BATCH + 1
    before = await archive.transcripts.stored_turns(key)

    assert await archive.transcripts.add_turns(key, turns, reported=True) == 450 - BATCH - 1

    stored = await archive.transcripts.stored_turns(key)
    assert [one.turn for one in stored] == turns
    assert stored[: BATCH + 1] == before, "what was stored is not written again"
    assert await archive.transcripts.add_turns(key, turns, reported=True) == 0
    assert await archive.transcripts.stored_turns(key) == stored


async def test_a_streamed_turn_after_the_report_takes_nothing_away(
    archive: MongoArchive, key: SessionKey
) -> None:
    complete = turn(0, interrupted=True, stopped_speaking_at=NOON, metrics={"ttft": 0.5})
    await archive.transcripts.add_turns(key, [complete], reported=True)
    await archive.transcripts.add_turns(key, [turn(0, "something else")])

    assert await archive.transcripts.turns(key) == [complete]


@pytest.mark.parametrize("value", POISON.values(), ids=POISON.keys())
async def test_values_that_bson_cannot_hold_come_back_as_they_were(
    archive: MongoArchive, key: SessionKey, value: Any
) -> None:
    odd = turn(0, "text with \0 and 😀", item_id="it/em\0.$", metrics={"odd": value})
    kept = report(odd=value, turns=[odd.model_dump()])

    assert await archive.transcripts.add_turns(key, [odd]) == 1
    assert await archive.transcripts.add_report(key, kept) is True
    assert await archive.transcripts.add_report(key, kept) is False
    assert await archive.transcripts.turns(key) == [odd]


async def test_what_cannot_be_stored_is_refused_by_name_and_nothing_of_it_is(
    archive: MongoArchive, key: SessionKey
) -> None:
    deep = turn(1, metrics={"deep": nested(150)})
    too_large = turn(2).model_copy(update={"seq": 2**70})
    with pytest.raises(InvalidInput, match=r"turn 1/'item_1' is nested too deeply"):
        await archive.transcripts.add_turns(key, [turn(0), deep])
    with pytest.raises(InvalidInput, match=r"turn 1/'item_2' .*8-byte ints"):
        await archive.transcripts.add_turns(key, [too_large])
    with pytest.raises(InvalidInput, match="the report is nested too deeply"):
        await archive.transcripts.add_report(key, report(deep=nested(2_000)))

    assert await archive.transcripts.turns(key) == []
    assert await archive.transcripts.report_ids(key) == set()


async def test_more_than_16_mb_is_refused_with_its_size(
    archive: MongoArchive, key: SessionKey
) -> None:
    big = "x" * (17 * 1024 * 1024)
    with pytest.raises(InvalidInput, match=r"the report is too large to be stored: 17\d+ bytes"):
        await archive.transcripts.add_report(key, report(blob=big))
    with pytest.raises(InvalidInput, match="too large"):
        await archive.transcripts.add_turns(key, [turn(0, metrics={"blob": big})])


async def test_a_report_is_kept_as_it_came_once_per_content(
    archive: MongoArchive, key: SessionKey, database: Database
) -> None:
    first = report(end_reason="caller_left", field_of_tomorrow={"a": [1, 2]})

    assert await archive.transcripts.add_report(key, first) is True
    assert await archive.transcripts.add_report(key, first.model_copy()) is False
    assert await archive.transcripts.add_report(key, report(attempt=3)) is True
    kept = await archive.transcripts.kept_reports(key)
    assert (kept.attempts, kept.unreadable) == ({1, 3}, 0)
    assert await archive.transcripts.report_ids(key) == kept.ids
    [stored] = await database["reports"].find({"attempt": 1}).to_list(None)
    assert type(first).model_validate_json(stored["body"]) == first


async def test_a_header_is_renewed_and_keeps_the_time_of_its_first_seal(
    archive: MongoArchive, key: SessionKey
) -> None:
    turns = [turn(0)]
    header = TranscriptHeader(
        org=key.org,
        session_id=key.session_id,
        complete=False,
        turn_count=1,
        attempts=1,
        digest=transcript_digest(turns),
        sealed_at=NOON,
        updated_at=NOON,
    )
    later = NOON.replace(hour=15)
    renewed = header.model_copy(
        update={"complete": True, "turn_count": 2, "sealed_at": later, "updated_at": later}
    )

    await archive.transcripts.put_header(header)
    await archive.transcripts.put_header(renewed)

    expected = renewed.model_copy(update={"sealed_at": NOON})
    assert await archive.transcripts.header(key) == expected


async def test_orgs_and_sessions_never_meet(archive: MongoArchive) -> None:
    keys = [
        SessionKey("acme", "call-1"),
        SessionKey("other", "call-1"),
        SessionKey("acme", "call-2"),
        SessionKey("acme-call", "1"),
    ]
    for number, key in enumerate(keys):
        await archive.transcripts.add_turns(key, [turn(0, f"of {number}")])
        await archive.transcripts.add_report(key, report(attempt=number + 1))

    for number, key in enumerate(keys):
        assert [found.text for found in await archive.transcripts.turns(key)] == [f"of {number}"]
        [mine] = await archive.transcripts.reports(key)
        assert mine.attempt == number + 1


async def test_reading_turns_uses_the_index(
    archive: MongoArchive, key: SessionKey, database: Database
) -> None:
    for session in range(20):
        await archive.transcripts.add_turns(SessionKey(key.org, f"s{session}"), [turn(0), turn(1)])

    query = {"org": key.org, "session_id": "s7"}
    plan = str((await database["turns"].find(query).explain())["queryPlanner"]["winningPlan"])

    assert "IXSCAN" in plan
    assert "org_1_session_id_1_position_1" in plan
    assert "COLLSCAN" not in plan


async def test_an_attempt_has_a_limit_of_different_reports(
    archive: MongoArchive, key: SessionKey
) -> None:
    for number in range(MAX_REPORTS):
        assert await archive.transcripts.add_report(key, report(odd=number))

    with pytest.raises(TooManyReports):
        await archive.transcripts.add_report(key, report(odd="one more"))
    assert await archive.transcripts.add_report(key, report(odd=0)) is False, "it is stored"
    assert await archive.transcripts.add_report(key, report(attempt=2)) is True
    assert len(await archive.transcripts.report_ids(key)) == MAX_REPORTS + 1
