"""Turns and reports merge into one transcript, however late and in whatever order they come."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.transcripts.transcript import (
    MAX_REPORTS,
    TooManyReports,
    TranscriptHeader,
    Turn,
    transcript_digest,
)
from services.transcripts.transcripts import Recorded, Transcripts
from tests.adapters.mongo.examples import NOON, report, turn
from tests.fakes.archives import MemoryTranscripts, Switch

KEY = SessionKey("acme", "call-1")
LATER = NOON + timedelta(minutes=5)


class Interrupted(MemoryTranscripts):
    """An archive in which something happens right before or after a header is stored."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Callable[[], Awaitable[object]]] = []
        self.after: list[Callable[[], Awaitable[object]]] = []
        self.stored = 0

    async def put_header(self, header: TranscriptHeader) -> None:
        if self.before:
            await self.before.pop(0)()
        await super().put_header(header)
        self.stored += 1
        if self.after:
            await self.after.pop(0)()


async def test_turns_are_stored_once_however_often_they_come() -> None:
    transcripts = Transcripts(MemoryTranscripts())

    first = await transcripts.record_turns(KEY, [turn(0), turn(1)], NOON)
    again = await transcripts.record_turns(KEY, [turn(1), turn(2)], NOON)

    assert first == Recorded(stored=2, duplicates=0)
    assert again == Recorded(stored=1, duplicates=1)
    assert await transcripts.turns(KEY) == [turn(0), turn(1), turn(2)]


async def test_before_the_seal_there_is_no_header() -> None:
    transcripts = Transcripts(MemoryTranscripts())

    await transcripts.record_turns(KEY, [turn(0)], NOON)
    await transcripts.record_report(KEY, report(turns=[turn(1)]), NOON)

    assert await transcripts.header(KEY) is None


async def test_a_seal_with_the_last_attempts_report_is_complete() -> None:
    transcripts = Transcripts(MemoryTranscripts())
    await transcripts.record_turns(KEY, [turn(0)], NOON)
    await transcripts.record_report(KEY, report(turns=[turn(0), turn(1)]), NOON)

    header = await transcripts.seal(KEY, "ag-1", 1, NOON)

    assert (header.complete, header.turn_count, header.attempts) == (True, 2, 1)
    assert header.agent_id == "ag-1"
    assert header.digest == transcript_digest([turn(0), turn(1)])


async def test_the_report_of_an_earlier_attempt_completes_nothing() -> None:
    transcripts = Transcripts(MemoryTranscripts())
    await transcripts.record_report(KEY, report(attempt=1, turns=[turn(0)]), NOON)

    assert not (await transcripts.seal(KEY, None, 2, NOON)).complete

    assert await transcripts.record_report(KEY, report(attempt=2), LATER)
    header = await transcripts.header(KEY)
    assert header is not None
    assert header.complete


async def test_late_material_renews_the_header_and_keeps_when_it_was_sealed() -> None:
    transcripts = Transcripts(MemoryTranscripts())
    await transcripts.seal(KEY, "ag-1", 1, NOON)

    await transcripts.record_turns(KEY, [turn(0)], LATER)
    with_turn = await transcripts.header(KEY)
    await transcripts.record_report(KEY, report(turns=[turn(1)]), LATER)
    with_report = await transcripts.header(KEY)

    assert with_turn is not None
    assert with_report is not None
    assert (with_turn.turn_count, with_turn.complete) == (1, False)
    assert (with_report.turn_count, with_report.complete) == (2, True)
    assert (with_report.sealed_at, with_report.updated_at) == (NOON, LATER)
    assert (with_report.agent_id, with_report.attempts) == ("ag-1", 1)


async def test_a_report_that_comes_twice_is_kept_once() -> None:
    transcripts = Transcripts(MemoryTranscripts())

    assert await transcripts.record_report(KEY, report(turns=[turn(0)]), NOON)
    assert not await transcripts.record_report(KEY, report(turns=[turn(0)]), NOON)

    assert await transcripts.turns(KEY) == [turn(0)]


async def _late_turn(archive: MemoryTranscripts) -> None:
    await Transcripts(archive).record_turns(KEY, [turn(7)], LATER)


async def _late_report(archive: MemoryTranscripts) -> None:
    await Transcripts(archive).record_report(KEY, report(turns=[turn(8)]), LATER)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("late", [_late_turn, _late_report])
async def test_what_comes_while_the_transcript_is_sealed_is_counted(
    moment: str, late: Callable[[MemoryTranscripts], Awaitable[None]]
) -> None:
    archive = Interrupted()
    transcripts = Transcripts(archive)
    await transcripts.record_turns(KEY, [turn(0)], NOON)
    # The sealing has read the turns already when the late ones come.
    getattr(archive, moment).append(lambda: late(archive))

    await transcripts.seal(KEY, None, 1, NOON)

    header = await transcripts.header(KEY)
    assert header is not None
    turns = await transcripts.turns(KEY)
    assert (header.turn_count, header.digest) == (len(turns), transcript_digest(turns))
    assert header.complete == (late is _late_report)


async def test_an_undisturbed_seal_is_written_once() -> None:
    archive = Interrupted()
    transcripts = Transcripts(archive)
    await transcripts.record_turns(KEY, [turn(0)], NOON)

    await transcripts.seal(KEY, None, 1, NOON)

    assert archive.stored == 1


class Crowded(MemoryTranscripts):
    """An archive to which a turn comes whenever a header is stored."""

    def __init__(self) -> None:
        super().__init__()
        self.stored = 0

    async def put_header(self, header: TranscriptHeader) -> None:
        await super().put_header(header)
        self.stored += 1
        await self.add_turns(KEY, [turn(self.stored)])


async def test_a_seal_that_is_always_too_late_is_given_up() -> None:
    archive = Crowded()

    with pytest.raises(StorageUnavailable, match="keep arriving"):
        await Transcripts(archive).seal(KEY, None, 1, NOON)

    assert archive.stored < 100


class Blinking(MemoryTranscripts):
    """An archive that is away for a moment when a header is read, right after turns were stored."""

    blinks = 0

    async def header(self, key: SessionKey) -> TranscriptHeader | None:
        if self.blinks:
            self.blinks -= 1
            raise StorageUnavailable("MongoDB did not answer: test")
        return await super().header(key)


@pytest.mark.parametrize("late", [turn(1), turn(0, "other words")], ids=["new", "revised"])
async def test_a_retry_of_late_turns_counts_what_the_failed_delivery_stored(late: Turn) -> None:
    archive = Blinking()
    transcripts = Transcripts(archive)
    await transcripts.record_turns(KEY, [turn(0)], NOON)
    await transcripts.seal(KEY, None, 1, NOON)
    archive.blinks = 1

    with pytest.raises(StorageUnavailable):
        await transcripts.record_turns(KEY, [late], LATER)
    assert await transcripts.record_turns(KEY, [late], LATER) == Recorded(0, 1)

    header = await transcripts.header(KEY)
    assert header is not None
    turns = await transcripts.turns(KEY)
    assert (header.turn_count, header.digest) == (len(turns), transcript_digest(turns))


async def test_a_report_revises_a_streamed_turn_and_the_header() -> None:
    transcripts = Transcripts(MemoryTranscripts())
    await transcripts.record_turns(KEY, [turn(0, "I")], NOON)
    await transcripts.seal(KEY, None, 1, NOON)

    whole = turn(0, "I want a table for four")
    await transcripts.record_report(KEY, report(turns=[whole]), LATER)

    assert await transcripts.turns(KEY) == [whole]
    header = await transcripts.header(KEY)
    assert header is not None
    assert header.digest == transcript_digest([whole])


async def test_an_outage_is_told_and_nothing_is_acknowledged() -> None:
    switch = Switch({KEY})
    transcripts = Transcripts(MemoryTranscripts(switch))

    with pytest.raises(StorageUnavailable):
        await transcripts.record_turns(KEY, [turn(0)], NOON)
    with pytest.raises(StorageUnavailable):
        await transcripts.record_report(KEY, report(), NOON)
    switch.away.clear()

    assert await transcripts.turns(KEY) == []


async def test_the_turns_of_a_report_too_many_are_in_the_transcript_all_the_same() -> None:
    transcripts = Transcripts(MemoryTranscripts())
    for number in range(MAX_REPORTS):
        await transcripts.record_report(KEY, report(odd=number), NOON)
    await transcripts.seal(KEY, None, 1, NOON)

    with pytest.raises(TooManyReports):
        await transcripts.record_report(KEY, report(odd="one more", turns=[turn(0)]), LATER)

    header = await transcripts.header(KEY)
    assert header is not None
    assert (header.turn_count, header.updated_at) == (1, LATER)
