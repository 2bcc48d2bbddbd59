"""A transcript's line follows what is kept of its session, whoever writes last."""

import asyncio

import pytest
from typing_extensions import override

from adapters.mongo import MongoArchive
from adapters.mongo.client import Database
from adapters.mongo.transcripts.lines import COLLECTION, MongoTranscriptLines
from adapters.mongo.transcripts.renewal import Renewal
from adapters.mongo.transcripts.transcripts import MongoTranscripts
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.sessions.session import Outcome, SessionState
from domain.transcripts.listing import TranscriptFilter, TranscriptLine, TranscriptOrder
from domain.transcripts.summary import Summary, SummaryStatus
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import NOON, report, status, turn


async def lines(archive: MongoArchive, org: str = "acme", **wanted: object) -> list[TranscriptLine]:
    asked = TranscriptFilter.model_validate(wanted)
    page = await archive.transcript_lists.page(org, asked, TranscriptOrder(), 100, None)
    return page.items


def summary(status: SummaryStatus) -> Summary:
    return Summary(org="acme", session_id="call-1", status=status, updated_at=NOON)


async def test_it_appears_when_sealed_and_is_completed_by_what_follows(
    archive: MongoArchive, key: SessionKey
) -> None:
    transcripts = Transcripts(archive.transcripts)
    await archive.sessions.record(status(1))
    await transcripts.record_turns(key, [turn(0, "Hello")], NOON)
    assert await lines(archive) == []

    await transcripts.seal(key, "ag-1", 1, NOON)
    [sealed] = await lines(archive)
    await archive.summaries.put(summary(SummaryStatus.READY))
    [summarised] = await lines(archive)
    closed = {"state": SessionState.CLOSED, "outcome": Outcome.COMPLETED, "closed_at": NOON}
    await archive.sessions.record(status(2, **closed))
    [complete] = await lines(archive)
    await transcripts.record_report(key, report(turns=[turn(1)]), NOON)
    [late] = await lines(archive)

    assert (sealed.agent, sealed.turn_count, sealed.summary) == ("ag-1", 1, None)
    assert (summarised.summary, summarised.outcome) == (SummaryStatus.READY, None)
    assert complete.outcome is Outcome.COMPLETED
    assert (late.state.value, late.turn_count) == ("complete", 2)


async def test_writers_at_the_same_time_leave_the_line_of_what_is_there(
    archive: MongoArchive, key: SessionKey
) -> None:
    transcripts = Transcripts(archive.transcripts)
    closed = {"state": SessionState.CLOSED, "outcome": Outcome.COMPLETED}

    await asyncio.gather(
        transcripts.seal(key, "ag-1", 1, NOON),
        archive.sessions.record(status(5, **closed)),
        archive.summaries.put(summary(SummaryStatus.READY)),
        *(transcripts.record_turns(key, [turn(number)], NOON) for number in range(4)),
        transcripts.record_report(key, report(turns=[turn(9, "umbrella")]), NOON),
    )

    [line] = await lines(archive, terms=["umbrella"])
    assert (line.turn_count, line.outcome, line.summary) == (5, "completed", "ready")
    assert line.state.value == "complete"


async def test_writers_at_the_time_of_the_deletion_leave_nothing(
    archive: MongoArchive, key: SessionKey, database: Database
) -> None:
    transcripts = Transcripts(archive.transcripts)
    await transcripts.record_report(key, report(turns=[turn(0)]), NOON)
    await transcripts.seal(key, "ag-1", 1, NOON)

    await asyncio.gather(
        *(transcripts.record_turns(key, [turn(number)], NOON) for number in range(1, 4)),
        archive.transcript_lines.remove(key, "test", NOON),
        transcripts.record_report(key, report(turns=[turn(9)], error="again"), NOON),
        archive.summaries.put(summary(SummaryStatus.READY)),
        transcripts.seal(key, "ag-1", 1, NOON),
    )

    for name in ("turns", "reports", "transcripts", "summaries"):
        assert await database[name].count_documents({}) == 0, name
    [tombstone] = await database[COLLECTION].find().to_list(None)
    assert tombstone.keys() == {"_id", "org", "session_id", "rev", "deleted_at", "deleted_by"}


async def test_a_line_of_an_older_release_answers_its_agent_as_before(
    archive: MongoArchive, key: SessionKey, database: Database
) -> None:
    await Transcripts(archive.transcripts).seal(key, "ag-1", 1, NOON)
    await database[COLLECTION].update_one({}, {"$unset": {"line.agent_id": 1}})

    [line] = await lines(archive)

    assert (line.agent, line.agent_id) == ("ag-1", "ag-1")


class BlinkingOnce(Renewal):
    """The lines, away for a moment when turns were stored just now."""

    def __init__(self, lines: Renewal) -> None:
        self._lines = lines
        self._blinks = 1

    @override
    async def renew_if_listed(self, key: SessionKey) -> bool:
        if self._blinks:
            self._blinks -= 1
            raise StorageUnavailable("MongoDB did not answer: test")
        return await self._lines.renew_if_listed(key)


async def test_a_retry_renews_the_line_of_a_call_that_was_never_sealed(
    archive: MongoArchive, key: SessionKey, database: Database
) -> None:
    await archive.sessions.record(status(2, state=SessionState.CLOSED, closed_at=NOON))
    blinking = MongoTranscripts(database, BlinkingOnce(MongoTranscriptLines(database)))

    with pytest.raises(StorageUnavailable):
        await blinking.add_turns(key, [turn(0, "umbrella")])
    assert await blinking.add_turns(key, [turn(0, "umbrella")]) == 0

    [line] = await lines(archive, terms=["umbrella"])
    assert line.turn_count == 1


async def test_a_retry_drops_turns_that_were_stored_after_the_deletion(
    archive: MongoArchive, key: SessionKey, database: Database
) -> None:
    await archive.transcript_lines.remove(key, "test", NOON)
    blinking = MongoTranscripts(database, BlinkingOnce(MongoTranscriptLines(database)))

    with pytest.raises(StorageUnavailable):
        await blinking.add_turns(key, [turn(0)])
    assert await blinking.add_turns(key, [turn(0)]) is None

    assert await archive.transcripts.turns(key) == []


async def test_a_late_report_that_replaces_heard_turns_renews_the_line(
    archive: MongoArchive, key: SessionKey
) -> None:
    transcripts = Transcripts(archive.transcripts)
    await archive.sessions.record(status(2, state=SessionState.CLOSED, closed_at=NOON))
    heard = turn(0, "umbrella", item_id="heard-SG_1", seq=None)
    await transcripts.record_turns(key, [heard], NOON)

    await transcripts.record_report(key, report(foreign=True, turns=[turn(0, "parasol")]), NOON)

    assert await lines(archive, terms=["umbrella"]) == []
    [line] = await lines(archive, terms=["parasol"])
    assert line.turn_count == 1


@pytest.mark.parametrize("org", ["other", "acme-call"])
async def test_nobody_elses_line_is_found(archive: MongoArchive, key: SessionKey, org: str) -> None:
    transcripts = Transcripts(archive.transcripts)
    await transcripts.record_turns(key, [turn(0, "umbrella")], NOON)
    await transcripts.seal(key, "ag-1", 1, NOON)

    assert await lines(archive, org, terms=["umbrella"]) == []
    assert await lines(archive, org, agent="ag-1") == []
    assert not await archive.transcript_lists.has_agent(org, "ag-1")
    assert await archive.transcript_lines.orgs(None, 10) == ["acme"]
