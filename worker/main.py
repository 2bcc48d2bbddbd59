"""Composition root of the Temporal worker: `python -m worker.main`."""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn, Protocol

import structlog
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.archive import ArchiveActivities
from activities.callers import CallerActivities
from activities.capacity import CapacityActivities
from activities.dispatch import DispatchActivities
from activities.errors import TranslateErrors
from activities.finishing import FinishActivities
from activities.joining import JoinActivities
from activities.listening import ListenActivities
from activities.reaping import ReapingActivities
from activities.rooms import RoomActivities
from activities.slots import SlotActivities
from activities.summaries import SummaryActivities
from adapters import logs
from adapters.http.heartbeat_path import ApiHeartbeatPath
from adapters.livekit.listener import LiveKitListener
from adapters.livekit.rooms import LiveKitRooms
from adapters.mongo.archive import MongoArchive
from adapters.mongo.client import MongoMisconfigured
from adapters.settings import SettingsError, WorkerSettings, load
from adapters.temporal import client as temporal_client
from adapters.temporal.directory import TemporalSessionDirectory
from adapters.temporal.errors import not_connected
from adapters.temporal.installation import InstallationDiffers, TemporalInstallation
from adapters.temporal.listing import TemporalListing
from domain.agents.ports import CallerSigns
from domain.errors import Unavailable
from domain.sessions.ports import Rooms, SessionArchive
from domain.transcripts.listening import listening_task_queue
from domain.transcripts.ports import Analyst, Summariser, SummaryArchive, TranscriptArchive
from services.access.quotas import SlotSweep
from services.agents.watchdog import Watchdog
from services.sessions.missing_rooms import MissingRooms
from services.sessions.reaper import Reaper
from services.transcripts.summaries import Summaries
from services.transcripts.transcripts import Transcripts
from services.webhooks.delivery import AnnouncedRecords, AnnouncedSessions
from worker.exit import exit_at_once
from worker.retention import retention_activities
from worker.schedule import ensure_reaper, ensure_retention
from worker.shutdown import GRACEFUL_SHUTDOWN, serving
from worker.summariser import analyst_of, summariser_of
from worker.watchdog import Watch
from worker.webhooks import NO_WEBHOOKS, WebhookParts, delivery_worker, sender_of
from workflows.archive import ArchiveWorkflow
from workflows.reaper import ReaperWorkflow
from workflows.retention import RetentionWorkflow
from workflows.session import SessionWorkflow
from workflows.summary import SummaryWorkflow
from workflows.webhook import WebhookWorkflow

log = structlog.get_logger()

WORKFLOWS = [
    SessionWorkflow,
    SummaryWorkflow,
    ArchiveWorkflow,
    WebhookWorkflow,
    ReaperWorkflow,
    RetentionWorkflow,
]
RETRY_SECONDS = 2.0
MAX_LISTENERS = 200
"""Calls of external agents that one worker process transcribes at the same time."""


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

    @property
    def agent_servers(self) -> CallerSigns:
        """What agents say of their callers."""
        ...


def activities_of(
    settings: WorkerSettings,
    rooms: Rooms,
    archive: Archive | None,
    summariser: Summariser,
    webhooks: WebhookParts = NO_WEBHOOKS,
    analyst: Analyst | None = None,
    *,
    installation: str,
) -> list[Callable[..., Any]]:
    """All activities, with what they need from outside."""
    transcripts = Transcripts(archive.transcripts, settings.prices) if archive else None
    summaries = (
        Summaries(archive.summaries, archive.transcripts, summariser, analyst) if archive else None
    )
    room = RoomActivities(rooms, installation)
    dispatch = DispatchActivities(
        rooms, settings.callback_url, settings.everline_callback_secret.get_secret_value()
    )
    join = JoinActivities(rooms, remove_strays=settings.everline_remove_stray_agents)
    callers = CallerActivities(
        rooms,
        archive.agent_servers if archive else None,
        archive.transcripts if archive else None,
    )
    finish = FinishActivities(rooms)
    store = ArchiveActivities(
        AnnouncedSessions(archive.sessions, webhooks.announcer) if archive else None,
        transcripts,
        webhooks.announcer,
    )
    summary = SummaryActivities(summaries, webhooks.announcer)
    return [
        room.open_room,
        room.delete_room,
        dispatch.dispatch_agent,
        dispatch.retract_attempts,
        join.await_agent,
        join.look_for_agent,
        callers.look_for_callers,
        finish.ask_agents_to_finish,
        finish.remove_agents,
        store.record_session,
        store.seal_transcript,
        summary.begin_summary,
        summary.write_summary,
        summary.give_up_summary,
        summary.analyse_call,
        summary.give_up_analysis,
        summary.announce_summary,
        webhooks.activities.announce_session,
    ]


def listener_of(settings: WorkerSettings, archive: Archive | None) -> ListenActivities:
    """The activity that listens to external agents."""
    transcripts = Transcripts(archive.transcripts, settings.prices) if archive else None
    return ListenActivities(LiveKitListener.of(settings), transcripts)


def workflow_runner() -> SandboxedWorkflowRunner:
    """Run workflow code in Temporal's sandbox, which enforces determinism."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        # Pure models: importing them again for every run would only cost time.
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


def listening_worker(client: Client, settings: WorkerSettings, listen: ListenActivities) -> Worker:
    """The worker of listeners: they last as long as calls, so they have slots of their own."""
    return Worker(
        client,
        task_queue=listening_task_queue(settings.temporal_task_queue),
        activities=[listen.listen_to_agent],
        interceptors=[TranslateErrors()],
        graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        max_concurrent_activities=MAX_LISTENERS,
    )


@asynccontextmanager
async def watching(
    settings: WorkerSettings, client: Client, archive: MongoArchive | None, reaper: Reaper
) -> AsyncGenerator[None]:
    """Watch the agent servers while the block runs; this needs MongoDB."""
    if archive is None:
        yield
        return
    holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    async with ApiHeartbeatPath(settings) as path:
        watchdog = Watchdog(
            archive.agent_servers,
            path,
            TemporalSessionDirectory(client),
            settings.everline_agent_silence_seconds,
            time.monotonic,
        )
        async with Watch(archive.lease("watchdog", holder), watchdog, reaper).running():
            yield


async def run(settings: WorkerSettings) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # First, so that an invalid URI is reported even while Temporal is unavailable.
    archive = MongoArchive.of(settings)
    client = await _connected(settings, stop)
    if client is None:
        return
    installation = await _installation(client, settings, stop)
    if installation is None:
        return
    rooms = LiveKitRooms.of(settings)
    sender = sender_of(settings)
    webhooks = WebhookParts.of(settings, archive, client, sender)
    reaper = Reaper(
        rooms,
        installation,
        MissingRooms(rooms, installation, archive.agent_servers if archive else None),
        TemporalSessionDirectory(client),
        AnnouncedRecords(archive.sessions, webhooks.announcer) if archive else None,
        SlotSweep(archive.slots, TemporalListing(client)) if archive else None,
    )
    activities = [
        *activities_of(
            settings,
            rooms,
            archive,
            summariser_of(settings),
            webhooks,
            analyst_of(settings),
            installation=installation,
        ),
        ReapingActivities(reaper).sweep,
        SlotActivities(archive.slots if archive else None).free_slot,
        CapacityActivities(archive.agent_servers if archive else None).count_free_places,
        *retention_activities(settings, archive),
    ]
    worker = session_worker(client, settings, activities)
    listeners = listening_worker(client, settings, listener_of(settings, archive))
    watch = watching(settings, client, archive, reaper)
    deliveries = delivery_worker(client, settings, webhooks)
    async with rooms, sender, serving(worker, listeners, deliveries), watch:
        preparations = asyncio.gather(
            _ensure_schedules(client, settings.temporal_task_queue),
            *([archive.prepare()] if archive else []),
        )
        log.info("worker started", task_queue=settings.temporal_task_queue)
        await stop.wait()
        log.info("worker stops")
        preparations.cancel()
    if archive:
        archive.close()


async def _connected(settings: WorkerSettings, stop: asyncio.Event) -> Client | None:
    """Connect, waiting for Temporal if needed; None if the process was stopped before."""
    while not stop.is_set():
        try:
            return await temporal_client.connect(settings)
        except RuntimeError as error:
            problem = not_connected(error)
            log.warning(
                "temporal is away",
                address=settings.temporal_address,
                reason=problem.message,
                cure=problem.cure,
            )
            await asyncio.sleep(RETRY_SECONDS)
    return None


async def _installation(
    client: Client, settings: WorkerSettings, stop: asyncio.Event
) -> str | None:
    """Return the id of this installation; None if the process was stopped before.

    Raises:
        InstallationDiffers: it is not the one in the settings.
    """
    installation = TemporalInstallation(client, settings.everline_installation)
    while not stop.is_set():
        try:
            return await installation.id()
        except Unavailable as error:
            log.warning("the installation is not known yet", reason=error.message, cure=error.cure)
            await asyncio.sleep(RETRY_SECONDS)
    return None


async def _ensure_schedules(client: Client, task_queue: str) -> None:
    while True:
        try:
            await ensure_reaper(client, task_queue)
            await ensure_retention(client, task_queue)
            return
        except RPCError as error:
            log.warning("the schedules are not there yet", reason=error.status.name)
            await asyncio.sleep(RETRY_SECONDS)


def main() -> None:
    """Read the settings and run; exit with a message if the environment is incomplete."""
    try:
        settings = load(WorkerSettings)
    except SettingsError as error:
        sys.exit(f"everline worker: {error}")
    logs.configure(development=settings.development, level=settings.log_level)
    # LiveKit's SDK logs every stream that the listeners ignore.
    logging.getLogger("livekit").setLevel(logging.WARNING)
    try:
        asyncio.run(run(settings))
    except MongoMisconfigured as error:
        _refuse_to_run(f"{error}; {error.cure}")
    except InstallationDiffers as error:
        _refuse_to_run(error.in_full())


def _refuse_to_run(reason: str) -> NoReturn:
    sys.stderr.write(f"everline worker: {reason}\n")
    exit_at_once(1)


if __name__ == "__main__":
    main()
