"""The projection of sessions: the newest status wins, whatever the order of arrival."""

import asyncio

from adapters.mongo import MongoArchive
from adapters.mongo.client import Database
from domain.ids import SessionKey
from domain.sessions.session import SessionState, TimelineEntry
from domain.transcripts.summary import Summary, SummaryStatus
from tests.adapters.mongo.examples import NOON, status


async def test_a_status_comes_back_whole(archive: MongoArchive, key: SessionKey) -> None:
    stored = status(
        3,
        joined_at=NOON,
        join_seconds=0.31,
        timeline=[TimelineEntry(at=NOON, text="room \0 opened")],
    )

    await archive.sessions.record(stored)

    assert await archive.sessions.get(key) == stored


async def test_an_older_or_equal_status_changes_nothing(
    archive: MongoArchive, key: SessionKey
) -> None:
    for version, reason in ((2, "second"), (1, "first"), (2, "second again")):
        await archive.sessions.record(status(version, reason=reason))

    found = await archive.sessions.get(key)
    assert found is not None
    assert (found.version, found.reason) == (2, "second")


async def test_of_many_writers_at_once_the_newest_stays(
    archive: MongoArchive, key: SessionKey, database: Database
) -> None:
    await asyncio.gather(*(archive.sessions.record(status(version)) for version in range(1, 25)))

    found = await archive.sessions.get(key)
    assert found is not None
    assert found.version == 24
    assert await database["sessions"].count_documents({}) == 1


async def test_a_session_of_another_org_does_not_exist(
    archive: MongoArchive, key: SessionKey
) -> None:
    await archive.sessions.record(status(1))
    await archive.sessions.record(status(1, org="other", state=SessionState.CLOSED))

    assert await archive.sessions.get(SessionKey("third", key.session_id)) is None
    ours = await archive.sessions.get(key)
    assert ours is not None
    assert ours.state is SessionState.LIVE


async def test_a_summary_is_replaced_as_a_whole(archive: MongoArchive, key: SessionKey) -> None:
    pending = Summary(
        org=key.org,
        session_id=key.session_id,
        status=SummaryStatus.PENDING,
        attempts=1,
        error="the model was away",
        updated_at=NOON,
    )
    ready = pending.model_copy(
        update={"status": SummaryStatus.READY, "text": "They agreed.", "error": None}
    )

    assert await archive.summaries.get(key) is None
    await archive.summaries.put(pending)
    assert await archive.summaries.get(key) == pending
    await archive.summaries.put(ready)
    assert await archive.summaries.get(key) == ready
    assert await archive.summaries.get(SessionKey("other", key.session_id)) is None
