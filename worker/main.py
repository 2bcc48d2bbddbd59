"""Composition root of the Temporal worker: `python -m worker.main`."""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Protocol

import structlog
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.archive import ArchiveActivities
from activities.callers import CallerActivities
from activities.capacity import CapacityActivities
from activities.dispatch import DispatchActivities, JoinCounters
from activities.errors import TranslateErrors
from activities.finishing import FinishActivities
from activities.joining import JoinActivities
from activities.listening import ListenActivities
from activities.reaping import ReapingActivities
from activities.retention import RetentionActivities
from activities.rooms import RoomActivities
from activities.slots import SlotActivities
from activities.summaries import SummaryActivities
from adapters import logs
from adapters.http.clocks import HttpClock, watched_clocks
from adapters.http.heartbeat_path import ApiHeartbeatPath
from adapters.livekit.listener import LiveKitListener
from adapters.livekit.rooms import LiveKitRooms
from adapters.mongo.archive import MongoArchive
from adapters.mongo.client import MongoMisconfigured
from adapters.recordings import RecordingStore
from adapters.settings import SettingsError, WorkerSettings, load, log_derived_secrets
from adapters.temporal import client as temporal_client
from adapters.temporal.clock import TemporalClock
from adapters.temporal.directory import TemporalSessionDirectory
from adapters.temporal.errors import not_connected
from adapters.temporal.installation import InstallationDiffers, TemporalInstallation
from adapters.temporal.listing import TemporalListing
from adapters.temporal.probe import TemporalProbe
from adapters.temporal.runs import TemporalArchiveRuns
from adapters.temporal.sessions import TemporalSessions
from domain.agents.ports import CallerSigns
from domain.errors import Unavailable
from domain.sessions.ports import Rooms, SessionArchive, SessionInputs
from domain.transcripts.listening import listening_task_queue
from domain.transcripts.ports import Analyst, Summariser, SummaryArchive, TranscriptArchive
from services.access.quotas import SlotSweep
from services.agents.watchdog import Watchdog
from services.sessions.missing_rooms import MissingRooms
from services.sessions.reaper import Reaper
from services.transcripts.retention import Retention
from services.transcripts.summaries import Summaries
from services.transcripts.transcripts import Transcripts
from services.webhooks.delivery import AnnouncedRecords, AnnouncedSessions
from worker.exit import exit_at_once
from worker.schedule import ensure_reaper, ensure_retention
from worker.shutdown import GRACEFUL_SHUTDOWN, serving
from worker.summariser import models_of
from worker.watchdog import watching
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
STICKY_QUEUE_TIMEOUT = timedelta(seconds=1.5)
"""How long a workflow task waits for the worker that has the workflow in memory.

After that, any worker takes it. So a killed worker's sessions stand still no longer than that; a
busy worker that takes longer only costs a replay.
"""
MAX_LISTENERS = 200
"""Calls of external agents that one worker process transcribes at the same time."""


class _Archive(Protocol):
    """What the worker reads and writes in MongoDB."""

    @property
    def sessions(self) -> SessionArchive: ...
    @property
    def transcripts(self) -> TranscriptArchive: ...
    @property
    def summaries(self) -> SummaryArchive: ...
    @property
    def agent_servers(self) -> CallerSigns: ...


def activities_of(
    settings: WorkerSettings,
    rooms: Rooms,
    archive: _Archive | None,
    summariser: Summariser,
    webhooks: WebhookParts = NO_WEBHOOKS,
    analyst: Analyst | None = None,
    *,
    inputs: SessionInputs,
    installation: str,
) -> list[Callable[..., Any]]:
    """All activities, with what they need from outside."""
    transcripts = Transcripts(archive.transcripts, settings.prices) if archive else None
    summaries = (
        Summaries(archive.summaries, archive.transcripts, summariser, analyst) if archive else None
    )
    room = RoomActivities(rooms, installation)
    counters = JoinCounters()
    dispatch = DispatchActivities(
        rooms, inputs, settings.callback_url, settings.callback_secrets[0], counters
    )
    join = JoinActivities(rooms, counters, remove_strays=settings.everline_remove_stray_agents)
    signs, turns = (archive.agent_servers, archive.transcripts) if archive else (None, None)
    callers = CallerActivities(rooms, signs, turns)
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
        finish.remove_callers,
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


def retention_activities(
    settings: WorkerSettings, archive: MongoArchive | None
) -> list[Callable[..., Any]]:
    """The activities that delete expired transcripts."""
    url = settings.everline_recordings_url
    retention = archive and Retention(
        archive.transcript_lines,
        archive.retention_rules,
        archive.audit,
        RecordingStore(url) if url else None,
        settings.everline_transcript_retention_days,
    )
    activities = RetentionActivities(retention)
    return [activities.next_due_orgs, activities.expire_batch, activities.record_expired]


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
    client: Client,
    settings: WorkerSettings,
    activities: list[Callable[..., Any]],
    workflows: Sequence[type] = WORKFLOWS,
) -> Worker:
    """The worker of the one task queue."""
    return Worker(
        client,
        task_queue=settings.temporal_task_queue,
        workflows=workflows,
        activities=activities,
        interceptors=[TranslateErrors()],
        workflow_runner=workflow_runner(),
        graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        sticky_queue_schedule_to_start_timeout=STICKY_QUEUE_TIMEOUT,
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


async def run(settings: WorkerSettings) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # First, so that an invalid URI is reported even while Temporal is unavailable.
    archive = MongoArchive.of(settings)
    reached = await _reach_temporal(settings, stop)
    if reached is None:
        return
    client, installation = reached
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
        archives=TemporalArchiveRuns(client, settings.temporal_task_queue) if archive else None,
    )
    summariser, analyst = models_of(settings)
    capacity = (
        CapacityActivities(archive.agent_servers, archive.places)
        if archive
        else CapacityActivities(None, None)
    )
    activities = [
        *activities_of(
            *(settings, rooms, archive, summariser, webhooks, analyst),
            inputs=TemporalSessions(client, settings.temporal_task_queue),
            installation=installation,
        ),
        ReapingActivities(reaper).sweep,
        SlotActivities(archive.slots if archive else None).free_slot,
        capacity.count_free_places,
        capacity.release_place,
        *retention_activities(settings, archive),
    ]
    transcripts = Transcripts(archive.transcripts, settings.prices) if archive else None
    listen = ListenActivities(LiveKitListener(settings), transcripts)
    workers = serving(
        session_worker(client, settings, activities),
        listening_worker(client, settings, listen),
        delivery_worker(client, settings, webhooks),
    )
    clocks = {
        "LiveKit": HttpClock(rooms.api_url),
        "Temporal": TemporalClock(TemporalProbe(client)),
        "the API": HttpClock(f"{settings.callback_url.rstrip('/')}/health"),
    }
    async with watched_clocks(clocks), rooms, sender, workers, AsyncExitStack() as stack:
        if archive:
            watchdog = Watchdog(
                archive.agent_servers,
                await stack.enter_async_context(ApiHeartbeatPath(settings)),
                TemporalSessionDirectory(client),
                settings.everline_agent_silence_seconds,
                time.monotonic,
            )
            lease = archive.lease("watchdog")
            await stack.enter_async_context(watching(lease, watchdog, reaper))
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


async def _reach_temporal(
    settings: WorkerSettings, stop: asyncio.Event
) -> tuple[Client, str] | None:
    """The client and this installation's id; waits for Temporal if needed.

    None if the process was stopped before.

    Raises:
        InstallationDiffers: the id is not the one in the settings.
    """
    client: Client | None = None
    while not stop.is_set():
        try:
            client = client or await temporal_client.connect(settings)
            return client, await TemporalInstallation(client, settings.everline_installation).id()
        except (RuntimeError, Unavailable) as error:
            problem = not_connected(error) if isinstance(error, RuntimeError) else error
            log.warning(
                "temporal is away",
                address=settings.temporal_address,
                reason=problem.message,
                cure=problem.cure,
            )
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
    log_derived_secrets(settings)
    # LiveKit's SDK logs every stream that the listeners ignore.
    logging.getLogger("livekit").setLevel(logging.WARNING)
    try:
        asyncio.run(run(settings))
    except (MongoMisconfigured, InstallationDiffers) as error:
        sys.stderr.write(f"everline worker: {error.in_full()}\n")
        exit_at_once(1)


if __name__ == "__main__":
    main()
