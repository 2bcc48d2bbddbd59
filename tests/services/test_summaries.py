"""A summary is pending, then ready or failed, with its attempts and the reason."""

import pytest

from domain.errors import InvalidInput, Unavailable
from domain.ids import SessionKey
from domain.transcript import transcript_digest
from services.summaries import NOTHING_SAID, Summaries
from tests.adapters.examples import NOON, turn
from tests.fakes.archives import MemoryArchive, ScriptedSummariser

KEY = SessionKey("acme", "call-1")


def _summaries() -> tuple[Summaries, MemoryArchive, ScriptedSummariser]:
    archive, summariser = MemoryArchive(), ScriptedSummariser()
    return Summaries(archive.summaries, archive.transcripts, summariser), archive, summariser


async def test_it_is_pending_until_it_is_written() -> None:
    summaries, archive, _ = _summaries()
    await archive.transcripts.add_turns(KEY, [turn(0, "Hello"), turn(1)])

    await summaries.begin(KEY, NOON)
    written = await summaries.write(KEY, 1, NOON)

    assert [record.status for record in archive.summaries.records[KEY]] == ["pending", "ready"]
    assert written.text == "2 turns about Hello"
    assert (written.attempts, written.error, written.summariser) == (1, None, "scripted")
    assert written.transcript_digest == transcript_digest([turn(0, "Hello"), turn(1)])


async def test_a_call_without_words_needs_no_model() -> None:
    summaries, _, summariser = _summaries()

    assert (await summaries.write(KEY, 1, NOON)).text == NOTHING_SAID
    assert summariser.calls == []


async def test_a_failed_attempt_is_recorded_and_raised() -> None:
    summaries, archive, summariser = _summaries()
    await archive.transcripts.add_turns(KEY, [turn(0, "Hello")])
    summariser.faults["Hello"] = [Unavailable("the model is busy"), InvalidInput("no such model")]

    for attempt, kind in ((1, Unavailable), (2, InvalidInput)):
        with pytest.raises(kind):
            await summaries.write(KEY, attempt, NOON)
    await summaries.give_up(KEY, "gave up", NOON)

    told = [(r.status, r.attempts, r.error) for r in archive.summaries.records[KEY]]
    assert told == [
        ("pending", 1, "the model is busy"),
        ("pending", 2, "no such model"),
        ("failed", 2, "no such model"),
    ]


async def test_giving_up_without_a_known_cause_tells_the_given_reason() -> None:
    summaries, archive, _ = _summaries()

    await summaries.give_up(KEY, "the worker went away", NOON)

    last = archive.summaries.records[KEY][-1]
    assert (last.status, last.attempts, last.error) == ("failed", 0, "the worker went away")
