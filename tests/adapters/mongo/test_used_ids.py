"""An id that was used again while MongoDB was away: the later session loses nothing."""

from datetime import timedelta

import pytest

from adapters.mongo import MongoArchive
from domain.ids import SessionKey
from domain.sessions.session import SessionState
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import NOON, report, status, turn

AFTER_RETENTION = NOON + timedelta(days=31, microseconds=1_234)
CLOSED = {"state": SessionState.CLOSED, "closed_at": NOON, "ended_at": NOON}


async def test_the_record_is_that_of_the_later_session(
    archive: MongoArchive, key: SessionKey
) -> None:
    await archive.sessions.record(status(40, **CLOSED))
    for version in (1, 2):
        await archive.sessions.record(status(version, started_at=AFTER_RETENTION))
    await archive.sessions.record(status(1, started_at=AFTER_RETENTION))
    await archive.sessions.record(status(41, **CLOSED))

    record = await archive.sessions.get(key)

    assert record is not None
    assert (record.version, record.state) == (2, SessionState.LIVE)


async def test_a_tombstone_of_the_earlier_session_drops_nothing_of_the_later(
    archive: MongoArchive, key: SessionKey
) -> None:
    transcripts = Transcripts(archive.transcripts)
    await transcripts.record_turns(key, [turn(0, "old")], NOON)
    await archive.sessions.record(status(40, **CLOSED))
    await archive.transcript_lines.remove(key, "test", NOON + timedelta(days=1))
    assert (await transcripts.record_turns(key, [turn(0, "late")], NOON)).dropped
    assert await archive.transcript_lines.is_removed(key)

    await archive.sessions.record(status(1, started_at=AFTER_RETENTION))
    recorded = await transcripts.record_turns(key, [turn(0, "new")], AFTER_RETENTION)
    await transcripts.record_report(key, report(turns=[turn(1)]), AFTER_RETENTION)
    await transcripts.seal(key, None, 1, AFTER_RETENTION)

    assert (recorded.stored, recorded.dropped) == (1, False)
    assert [one.text for one in await transcripts.turns(key)] == ["new", "utterance 1"]
    assert not await archive.transcript_lines.is_removed(key)

    await archive.transcript_lines.remove(key, "test", AFTER_RETENTION + timedelta(days=1))
    assert await archive.transcript_lines.is_removed(key)
    assert await transcripts.turns(key) == []


@pytest.mark.parametrize("seconds", [0, 1])
async def test_a_session_that_was_deleted_while_it_started_stays_deleted(
    archive: MongoArchive, key: SessionKey, seconds: int
) -> None:
    await archive.sessions.record(status(1))
    await archive.transcript_lines.remove(key, "test", NOON + timedelta(seconds=seconds))

    assert (await Transcripts(archive.transcripts).record_turns(key, [turn(0)], NOON)).dropped


async def test_nothing_is_stored_of_an_unused_id(archive: MongoArchive, key: SessionKey) -> None:
    await archive.transcripts.add_turns(SessionKey(key.org, "other"), [turn(0)])
    await archive.transcripts.add_turns(SessionKey("other", key.session_id), [turn(0)])

    assert not await archive.transcript_lines.has_stored(key)
    assert await archive.transcript_lines.has_stored(SessionKey("other", key.session_id))
