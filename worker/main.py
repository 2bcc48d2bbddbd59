"""Composition root of the Temporal worker: `python -m worker.main`."""

import asyncio
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

import structlog
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.archive import ArchiveActivities
from activities.dispatch import DispatchActivities
from activities.errors import TranslateErrors
from activities.finishing import FinishActivities
from activities.joining import JoinActivities
from activities.reaping import ReapingActivities
from activities.rooms import RoomActivities
from activities.slots import SlotActivities
from activities.summaries import SummaryActivities
from adapters import logs, temporal_client
from adapters.livekit_rooms import LiveKitRooms
from adapters.mongo.archive import MongoArchive
from adapters.settings import SettingsError, WorkerSettings, load
from adapters.temporal_listing import TemporalListing
from adapters.temporal_sessions import TemporalSessions
from domain.ports import Rooms, SessionArchive, Summariser, SummaryArchive, TranscriptArchive
from services.quotas import SlotSweep
from services.reaping import Reaper
from services.summaries import Summaries
from services.transcripts import Transcripts
from worker.schedule import ensure_reaper
from worker.summariser import summariser_of
from workflows.archive import ArchiveWorkflow
from workflows.reaper import ReaperWorkflow
from workflows.session import SessionWorkflow
from workflows.summary import SummaryWorkflow

log = structlog.get_logger()

WORKFLOWS = [SessionWorkflow, SummaryWorkflow, ArchiveWorkflow, ReaperWorkflow]
GRACEFUL_SHUTDOWN = timedelta(seconds=20)
"""Running activities get this long; cut ones are retried by another worker."""
RETRY_SECONDS = 2.0


class Archive(Protocol):
    """What the worker reads and writes in MongoDB."""

    @property
    def sessions(self) -> SessionArchive:
        """The readable projection of sessions."""
        ...

    @property
    def transcripts(self) -> TranscriptArchive:
        """Turns, reports and headers."""
        ...

    @property
    def summaries(self) -> SummaryArchive:
        """The summaries."""
        ...


def activities_of(
    settings: WorkerSettings, rooms: Rooms, archive: Archive | None, summariser: Summariser
) -> list[Callable[..., Any]]:
    """All activities, with what they need from outside."""
    transcripts = Transcripts(archive.transcripts) if archive else None
    summaries = Summaries(archive.summaries, archive.transcripts, summariser) if archive else None
    room = RoomActivities(rooms)
    dispatch = DispatchActivities(
        rooms, settings.callback_url, settings.everline_callback_secret.get_secret_value()
    )
    join = JoinActivities(rooms)
    finish = FinishActivities(rooms)
    store = ArchiveActivities(archive.sessions if archive else None, transcripts)
    summary = SummaryActivities(summaries)
    return [
        room.open_room,
        room.delete_room,
        dispatch.dispatch_agent,
        dispatch.retract_attempts,
        join.await_agent,
        finish.ask_agents_to_finish,
        finish.remove_agents,
        store.record_session,
        store.seal_transcript,
        summary.begin_summary,
        summary.write_summary,
        summary.give_up_summary,
    ]


def workflow_runner() -> SandboxedWorkflowRunner:
    """How workflow code runs: in Temporal's sandbox, in which nothing may be left to chance."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        # Pure models: re-importing them for every run would cost time and prove nothing.
        "domain",
        "pydantic",
        "pydantic_core",
    )
    return SandboxedWorkflowRunner(restrictions=restrictions)


def session_worker(
    client: Client, settings: WorkerSettings, activities: list[Callable[..., Any]]
) -> Worker:
    """The worker of the one task queue."""
    return Worker(
        client,
        task_queue=settings.temporal_task_queue,
        workflows=WORKFLOWS,
        activities=activities,
        interceptors=[TranslateErrors()],
        workflow_runner=workflow_runner(),
        graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        max_concurrent_activities=200,
    )


async def run(settings: WorkerSettings) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await _connected(settings, stop)
    if client is None:
        return
    archive = MongoArchive.of(settings)
    rooms = LiveKitRooms.of(settings)
    reaper = Reaper(
        rooms,
        TemporalSessions(client),
        archive.sessions if archive else None,
        SlotSweep(archive.slots, TemporalListing(client)) if archive else None,
    )
    activities = [
        *activities_of(settings, rooms, archive, summariser_of(settings)),
        ReapingActivities(reaper).sweep,
        SlotActivities(archive.slots if archive else None).free_slot,
    ]
    worker = session_worker(client, settings, activities)
    async with rooms, worker:
        preparations = asyncio.gather(
            _ensure_reaper(client, settings.temporal_task_queue),
            *([archive.prepare()] if archive else []),
        )
        log.info("worker started", task_queue=settings.temporal_task_queue)
        await stop.wait()
        log.info("worker stops")
        preparations.cancel()
    if archive:
        archive.close()


async def _connected(settings: WorkerSettings, stop: asyncio.Event) -> Client | None:
    """Temporal may start later than the worker; None if the process was stopped before."""
    while not stop.is_set():
        try:
            return await temporal_client.connect(settings)
        except RuntimeError as error:
            log.warning(
                "temporal is away", address=settings.temporal_address, reason=str(error)[:200]
            )
            await asyncio.sleep(RETRY_SECONDS)
    return None


async def _ensure_reaper(client: Client, task_queue: str) -> None:
    while True:
        try:
            await ensure_reaper(client, task_queue)
            return
        except RPCError as error:
            log.warning("the reaper's schedule is not there yet", reason=error.status.name)
            await asyncio.sleep(RETRY_SECONDS)


def main() -> None:
    """Read the settings and run; exits with a message if the environment is not complete."""
    try:
        settings = load(WorkerSettings)
    except SettingsError as error:
        sys.exit(f"everline worker: {error}")
    logs.configure(development=settings.development, level=settings.log_level)
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
