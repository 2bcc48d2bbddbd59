"""Workers come and go: whatever they had in memory, a session goes on from its history."""

import gc
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from temporalio.worker import Worker

from activities.errors import TranslateErrors
from adapters.temporal import client as temporal_client
from adapters.temporal.sessions import TemporalSessions
from domain.sessions.end_reasons import ReportEnd
from tests.fakes.agents import NEVER_COMES, Plays
from tests.fakes.archives import MemoryArchive, ScriptedSummariser
from tests.fakes.installation import INSTALLATION
from tests.fakes.rooms import FakeRooms
from tests.servers import TemporalServer
from tests.waiting import eventually
from tests.workflows.calls import Call, Studio
from tests.workflows.studio import worker_settings
from worker.main import activities_of
from worker.workers import WORKFLOWS, workflow_runner


@pytest.fixture
async def forgetful(temporal_server: TemporalServer) -> Studio:
    """A studio whose workers come and go, each of them with an empty memory."""
    settings = worker_settings(temporal_server.address, f"restarts-{uuid.uuid4().hex}")
    client = await temporal_client.connect(settings)
    return Studio(client, settings, FakeRooms(), MemoryArchive(), ScriptedSummariser())


@asynccontextmanager
async def worker(studio: Studio) -> AsyncGenerator[None]:
    """A worker for the block."""
    activities = activities_of(
        studio.settings,
        studio.rooms,
        studio.archive,
        studio.summariser,
        inputs=TemporalSessions(studio.client, studio.settings.temporal_task_queue),
        installation=INSTALLATION,
    )
    async with Worker(
        studio.client,
        task_queue=studio.settings.temporal_task_queue,
        workflows=WORKFLOWS,
        activities=activities,
        interceptors=[TranslateErrors()],
        workflow_runner=workflow_runner(),
    ):
        yield


async def _cancelled_unseen(studio: Studio) -> Call:
    call = await studio.call().start()
    await call.handle.cancel()
    return call


async def test_a_call_over_the_lives_of_four_workers(forgetful: Studio) -> None:
    call = await forgetful.call(NEVER_COMES, Plays(), join_timeout=1).start()
    async with worker(forgetful):
        await call.until("the first attempt", lambda status: status.dispatches > 0)
    async with worker(forgetful):
        await call.until("joined", lambda status: status.joins == 1)
    await call.caller_joins()
    await call.caller_leaves()
    await call.caller_joins("PA_back")
    async with worker(forgetful):
        status = await call.until("told", lambda status: status.waiting_for == "call_end")
    await call.crew.report(status.attempt, ReportEnd.AGENT_ENDED)
    async with worker(forgetful):
        closed = await call.closed()

    assert closed.ended == ("completed", "agent_ended")
    assert call.dispatched_attempts()[:2] == [1, 2]


async def test_a_cancel_and_an_end_before_any_worker_was_there(forgetful: Studio) -> None:
    cancelled = await _cancelled_unseen(forgetful)
    ended = await forgetful.call().start()
    await ended.end()
    async with worker(forgetful):
        outcomes = [(await call.closed()).ended for call in (cancelled, ended)]

    assert outcomes == [("cancelled", "cancelled"), ("cancelled", "end_requested")]
    assert forgetful.rooms.rooms == {}


async def test_a_worker_that_is_stopped_in_the_middle_of_a_step(forgetful: Studio) -> None:
    call = forgetful.call()
    sessions = forgetful.archive.sessions
    sessions.delays[call.key] = 2
    async with worker(forgetful):
        await call.start()
        await eventually(lambda: call.key in sessions.begun)
    sessions.delays.clear()
    async with worker(forgetful):
        await call.until("joined", lambda status: status.joins == 1)
        await call.end()
        closed = await call.closed()

    assert closed.ended == ("completed", "end_requested")
    assert sessions.records[call.key][-1].state == "closed"


async def test_a_worker_that_stops_leaves_no_error_unread(
    forgetful: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    live, joining = forgetful.call(), forgetful.call(NEVER_COMES)
    async with worker(forgetful):
        await live.live()
        await joining.start()
        await joining.until("looks for its agent", lambda status: status.dispatches > 0)
    gc.collect()

    assert "never retrieved" not in caplog.text
    async with worker(forgetful):
        for call in (live, joining):
            await call.end()
            await call.closed()
