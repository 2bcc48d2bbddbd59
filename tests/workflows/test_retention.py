"""The daily retention: what is too old goes, org by org, in bounded steps, and the log says so."""

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import ActivityEnvironment

from activities.retention import DueOrg, ExpireBatch, Expired, RetentionActivities
from adapters.mongo import MongoArchive
from adapters.mongo.client import Database, connect
from adapters.settings import WorkerSettings
from adapters.temporal import client as temporal_client
from domain.access.audit import AuditEntry
from domain.access.principal import Principal
from domain.ids import SessionKey
from domain.recordings.recording import CallRecording, RecordingState
from domain.transcripts.listing import TranscriptFilter, TranscriptOrder
from domain.transcripts.ports import RecordingFiles
from domain.transcripts.retention import Removed, RetentionRule
from services.transcripts.retention import Retention
from tests.api.archives import START, PastCalls
from tests.replaying import replay
from tests.servers import MongoServer, TemporalServer
from tests.workflows.studio import worker_settings
from worker.main import retention_activities
from worker.schedule import ensure_retention
from worker.workers import serving_all
from workflows.retention import RETENTION_ID, RetentionOrder, RetentionWorkflow

MINUTES_OF_A_DAY = 24 * 60


@dataclass
class Cellar:
    """An archive with old and new calls, and the worker that clears it out."""

    archive: MongoArchive
    database: Database
    client: Client
    settings: WorkerSettings
    task_queue: str

    async def fill(self, org: str, old: int, new: int) -> None:
        """Calls that ended long ago, and some of today."""
        calls = PastCalls(self.archive, org)
        today = (datetime.now(UTC) - START) / timedelta(minutes=1)
        for number in range(old):
            minute = today - 100 * MINUTES_OF_A_DAY + number
            await calls.call(f"old-{number}", "caller: Hello", minute=minute)
        for number in range(new):
            await calls.call(f"new-{number}", "caller: Hello", minute=today - 60 + number)

    async def keep_for(self, org: str, days: int) -> None:
        await self.archive.retention_rules.put(RetentionRule(org=org, days=days))

    async def start(self, **bounds: Any) -> "WorkflowHandle[RetentionWorkflow, int]":
        return await self.client.start_workflow(
            RetentionWorkflow.run,
            RetentionOrder(**bounds),
            id=f"retention-{uuid.uuid4().hex}",
            task_queue=self.task_queue,
        )

    async def replay(self, workflow_id: str) -> None:
        history = await self.client.get_workflow_handle(workflow_id).fetch_history()
        await replay(history, self.client.data_converter, [RetentionWorkflow])

    async def recorded(self, org: str, session_id: str) -> None:
        """A call has a recording."""
        path = f"{org}/{session_id}/1-AJ.ogg"
        recording = CallRecording(attempt=1, state=RecordingState.STORED, path=path)
        await self.archive.transcripts.put_recording(SessionKey(org, session_id), recording)

    def retention(self, files: RecordingFiles | None) -> Retention:
        archive = self.archive
        return Retention(archive.transcript_lines, archive.retention_rules, archive.audit, files, 0)

    async def left(self, org: str) -> list[str]:
        lists = self.archive.transcript_lists
        page = await lists.page(org, TranscriptFilter(), TranscriptOrder(), 100, None)
        return sorted(line.session_id for line in page.items)

    async def log(self, org: str) -> list[AuditEntry]:
        return (await self.archive.audit.page(org, None, 100, None)).entries


@pytest.fixture
async def cellar(
    temporal_server: TemporalServer, mongo_server: MongoServer
) -> AsyncGenerator[Cellar]:
    settings = worker_settings(temporal_server.address, f"retention-{uuid.uuid4().hex}")
    client = await temporal_client.connect(settings)
    mongo = connect(mongo_server.uri)
    database = f"test-{uuid.uuid4().hex}"
    archive = MongoArchive(mongo, database)
    await archive.ensure_indexes()
    async with serving_all(client, settings, retention_activities(settings, archive)):
        yield Cellar(archive, mongo[database], client, settings, settings.temporal_task_queue)
    # Its database stays: to drop it takes longer than to throw the server away.
    mongo.close()


async def test_each_org_loses_what_is_older_than_it_chose(cellar: Cellar) -> None:
    for org in ("acme", "globex", "initech"):
        await cellar.fill(org, old=3, new=1)
    await cellar.keep_for("acme", 30)
    await cellar.keep_for("globex", 365)

    handle = await cellar.start(orgs_at_once=1, batch=2)

    assert await handle.result() == 3
    assert await cellar.left("acme") == ["new-0"]
    for org in ("globex", "initech"):
        assert len(await cellar.left(org)) == 4
        assert await cellar.log(org) == []
    [entry] = await cellar.log("acme")
    assert (entry.action.value, entry.actor) == ("retention.applied", "retention")
    assert entry.details.pop("ended_before")
    assert entry.details == {
        "transcripts": 3,
        "turns": 3,
        "reports": 3,
        "recordings": 0,
        "summaries": 3,
        "not_deleted": 0,
    }
    await cellar.replay(handle.id)


async def test_a_run_is_bounded_and_the_next_goes_on(cellar: Cellar) -> None:
    await cellar.fill("acme", old=3, new=1)
    await cellar.keep_for("acme", 30)

    assert await (await cellar.start(batch=1, batches_per_org=2)).result() == 2
    assert await cellar.left("acme") == ["new-0", "old-2"]
    assert await (await cellar.start(batch=1, batches_per_org=2)).result() == 1
    assert await (await cellar.start()).result() == 0

    assert await cellar.left("acme") == ["new-0"]
    assert [entry.details["transcripts"] for entry in await cellar.log("acme")] == [1, 2]


async def test_a_retry_counts_what_the_try_before_it_had_done(cellar: Cellar) -> None:
    await cellar.fill("acme", old=2, new=0)
    activities = RetentionActivities(cellar.retention(None))
    due = DueOrg(org="acme", before=datetime.now(UTC) - timedelta(days=30))
    before = Expired(transcripts=5, removed=Removed(turns=7))
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(
        environment.info, heartbeat_details=[before.model_dump()]
    )
    beats: list[object] = []
    environment.on_heartbeat = lambda *details: beats.append(details[0]["transcripts"])

    done = await environment.run(
        activities.expire_batch, ExpireBatch(due=due, limit=10, run_id="run")
    )

    assert (done.transcripts, done.removed.turns, done.more) == (7, 9, False)
    assert beats == [6, 7]


async def test_a_recording_that_cannot_be_deleted_holds_up_nothing_else(cellar: Cellar) -> None:
    for org in ("acme", "globex"):
        await cellar.fill(org, old=3, new=1)
        await cellar.keep_for(org, 30)
    for session_id in ("old-0", "old-1"):
        await cellar.recorded("acme", session_id)

    handle = await cellar.start(batch=1)

    assert await asyncio.wait_for(handle.result(), 60) == 4
    assert await cellar.left("acme") == ["new-0", "old-0", "old-1"]
    assert await cellar.left("globex") == ["new-0"]
    [entry] = await cellar.log("acme")
    assert (entry.details["transcripts"], entry.details["not_deleted"]) == (1, 2)
    await cellar.replay(handle.id)


async def test_a_retry_does_not_begin_again_at_what_cannot_be_deleted(cellar: Cellar) -> None:
    await cellar.fill("acme", old=3, new=0)
    await cellar.recorded("acme", "old-0")
    due = DueOrg(org="acme", before=datetime.now(UTC) - timedelta(days=30))
    beats: list[Expired] = []
    retention = cellar.retention(None)
    done = await retention.expire(due, 1, None, "test", datetime.now(UTC), beats.append)
    assert (done.transcripts, done.not_deleted, done.more) == (0, 1, True)

    done = await retention.expire(due, 1, beats[0].after, "test", datetime.now(UTC), beats.append)

    assert (done.transcripts, done.not_deleted) == (1, 0)
    assert await cellar.left("acme") == ["old-0", "old-2"]


async def test_a_choice_that_cannot_be_read_keeps_and_holds_up_nobody(cellar: Cellar) -> None:
    spoilt = {"acme": "soon", "globex": -1, "initech": 10**9}
    for org, days in spoilt.items():
        await cellar.fill(org, old=1, new=0)
        await cellar.keep_for(org, 30)
        await cellar.database["retention_rules"].update_one({"org": org}, {"$set": {"days": days}})
    await cellar.fill("umbrella", old=1, new=0)
    await cellar.keep_for("umbrella", 30)

    assert await asyncio.wait_for((await cellar.start()).result(), 60) == 1

    assert await cellar.left("umbrella") == []
    for org in spoilt:
        assert await cellar.left(org) == ["old-0"]
    who, now = Principal(org="acme"), datetime.now(UTC)
    assert (await cellar.retention(None).choose(who, 30, now)).days == 30
    [entry] = await cellar.log("acme")
    assert entry.details == {"days": 30, "days_before": "unreadable"}
    assert await (await cellar.start()).result() == 1


class FaultyFiles:
    """The port `RecordingFiles`; meets a fault of ours in one org."""

    async def delete(self, path: str) -> None:
        if path.startswith("acme/"):
            raise KeyError("a fault")


async def test_a_fault_in_one_org_holds_up_no_other(cellar: Cellar) -> None:
    for org in ("acme", "globex"):
        await cellar.fill(org, old=3, new=0)
        await cellar.keep_for(org, 30)
        await cellar.recorded(org, "old-1")
    queue = f"faulty-{uuid.uuid4().hex}"
    settings = cellar.settings.model_copy(update={"temporal_task_queue": queue})
    activities = RetentionActivities(cellar.retention(FaultyFiles()))
    steps = [activities.next_due_orgs, activities.expire_batch, activities.record_expired]

    async with serving_all(cellar.client, settings, steps):
        faulty = dataclasses.replace(cellar, task_queue=queue)
        handle = await faulty.start(batch=1, patience=timedelta(seconds=10))
        assert await asyncio.wait_for(handle.result(), 60) == 4

    assert await cellar.left("acme") == ["old-1", "old-2"]
    assert await cellar.left("globex") == []
    assert [entry.details["transcripts"] for entry in await cellar.log("acme")] == [1]
    await cellar.replay(handle.id)


async def test_it_is_scheduled_once_a_day(cellar: Cellar) -> None:
    for _ in range(2):
        await ensure_retention(cellar.client, cellar.task_queue)
    handle = cellar.client.get_schedule_handle(RETENTION_ID)
    try:
        [interval] = (await handle.describe()).schedule.spec.intervals
        assert interval.every == timedelta(days=1)
    finally:
        await handle.delete()
