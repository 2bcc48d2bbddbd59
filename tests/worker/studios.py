"""Workers with few slots, one process after the other, over fakes of LiveKit and MongoDB."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from temporalio.worker import Worker

from activities.errors import TranslateErrors
from adapters.settings import WorkerSettings
from adapters.temporal import client as temporal_client
from adapters.temporal.sessions import TemporalSessions
from domain.task_queues import TaskKind
from tests.fakes.archives import MemoryArchive, ScriptedSummariser
from tests.fakes.installation import INSTALLATION
from tests.fakes.rooms import FakeRooms
from tests.servers import TemporalServer
from tests.workflows.calls import Studio
from tests.workflows.studio import worker_settings
from worker.main import activities_of
from worker.workers import WORKFLOWS, Activity, serving_all, workflow_runner


async def studio_of(temporal: TemporalServer, rooms: FakeRooms | None = None) -> Studio:
    """A studio without a worker, on a task queue of its own."""
    settings = worker_settings(temporal.address, f"slots-{uuid.uuid4().hex}")
    client = await temporal_client.connect(settings)
    return Studio(client, settings, rooms or FakeRooms(), MemoryArchive(), ScriptedSummariser())


def worker(studio: Studio, slots: dict[TaskKind, int]) -> AbstractAsyncContextManager[None]:
    """A worker process with these slots, for the block."""
    settings = studio.settings.model_copy(update={"everline_worker_slots": slots})
    return serving_all(studio.client, settings, _activities(studio, settings))


@asynccontextmanager
async def older_worker(studio: Studio) -> AsyncGenerator[None]:
    """A worker of the release before: every step is on the main task queue."""
    async with Worker(
        studio.client,
        task_queue=studio.settings.temporal_task_queue,
        workflows=WORKFLOWS,
        activities=_activities(studio, studio.settings),
        interceptors=[TranslateErrors()],
        workflow_runner=workflow_runner(),
    ):
        yield


def _activities(studio: Studio, settings: WorkerSettings) -> list[Activity]:
    return activities_of(
        *(settings, studio.rooms, studio.archive, studio.summariser),
        inputs=TemporalSessions(studio.client, settings.temporal_task_queue),
        installation=INSTALLATION,
    )
