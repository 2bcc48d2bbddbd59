"""Composition root of the Temporal worker: `python -m worker.main`."""

import asyncio
import logging
import signal
import sys
import time
from contextlib import AsyncExitStack
from typing import Protocol

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from activities.archive import ArchiveActivities
from activities.callers import CallerActivities
from activities.capacity import CapacityActivities
from activities.dispatch import DispatchActivities, JoinCounters
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
from adapters.http.lookups import LookupLoop
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
from domain.task_queues import TaskKind
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
from worker.slots import shares_of
from worker.summariser import models_of
from worker.watchdog import watching
from worker.webhooks import NO_WEBHOOKS, WebhookParts, sender_of
from worker.workers import Activity, serving_all

log = structlog.get_logger()

RETRY_SECONDS = 2.0


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
    checked_rooms: Rooms | None = None,
) -> list[Activity]:
    """All activities of sessions, with what they need from outside.

    Repeated checks of rooms go through `checked_rooms`, so that they take no connection from the
    steps that start and end calls.
    """
    checked_rooms = checked_rooms or rooms
    transcripts = Transcripts(archive.transcripts, settings.prices) if archive else None
    summaries = (
        Summaries(archive.summaries, archive.transcripts, summariser, analyst) if archive else None
    )
    room = RoomActivities(rooms, installation)
    counters = JoinCounters()
    dispatch = DispatchActivities(
        rooms, inputs, settings.callback_url, settings.callback_secrets[0], counters
    )
    join = JoinActivities(
        checked_rooms,
        counters,
        remove_strays=settings.everline_remove_stray_agents,
        shares=shares_of(settings, TaskKind.JOINING),
    )
    signs, turns = (archive.agent_servers, archive.transcripts) if archive else (None, None)
    callers = CallerActivities(checked_rooms, signs, turns)
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
        webhooks.activities.attempt_delivery,
    ]


def retention_activities(settings: WorkerSettings, archive: MongoArchive | None) -> list[Activity]:
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
    rooms, checked_rooms = LiveKitRooms.of(settings), LiveKitRooms.of(settings)
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
    transcripts = Transcripts(archive.transcripts, settings.prices) if archive else None
    listening = shares_of(settings, TaskKind.LISTENING)
    activities = [
        *activities_of(
            *(settings, rooms, archive, summariser, webhooks, analyst),
            inputs=TemporalSessions(client, settings.temporal_task_queue),
            installation=installation,
            checked_rooms=checked_rooms,
        ),
        ReapingActivities(reaper).sweep,
        SlotActivities(archive.slots if archive else None).free_slot,
        capacity.count_free_places,
        capacity.release_place,
        *retention_activities(settings, archive),
        ListenActivities(LiveKitListener(settings), transcripts, listening).listen_to_agent,
    ]
    workers = serving_all(client, settings, activities)
    clocks = {
        "LiveKit": HttpClock(rooms.api_url),
        "Temporal": TemporalClock(TemporalProbe(client)),
        "the API": HttpClock(f"{settings.callback_url.rstrip('/')}/health"),
    }
    async with AsyncExitStack() as stack:
        for each in (watched_clocks(clocks), rooms, checked_rooms, sender, workers):
            await stack.enter_async_context(each)
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
        slots = {str(kind): slots for kind, slots in settings.slots.items()}
        log.info("worker started", task_queue=settings.temporal_task_queue, slots=slots)
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
        with asyncio.Runner(loop_factory=LookupLoop) as runner:
            runner.run(run(settings))
    except (MongoMisconfigured, InstallationDiffers) as error:
        sys.stderr.write(f"everline worker: {error.in_full()}\n")
        exit_at_once(1)


if __name__ == "__main__":
    main()
