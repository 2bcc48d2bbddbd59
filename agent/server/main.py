"""The agent worker's process: `python -m agent.server.main`.

SIGTERM or SIGINT drains: no new jobs are accepted, and the running ones may finish for
`EVERLINE_DRAIN_SECONDS`. Then they are shut down, which still hands in their reports; last, the
rest of the spool is delivered, and recordings are uploaded. A second signal ends the draining.
"""
# The SDK leaves the types of its server's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import errno
import signal
import sys
from pathlib import Path

import structlog

from adapters.http.clocks import HttpClock, watched_clocks
from adapters.livekit.connection import LiveKitConnection
from adapters.livekit.urls import api_url
from adapters.recordings import RecordingStore
from adapters.settings import AgentSettings, SettingsError, load
from agent.logs import configure_logging
from agent.server.agent_server import CountingAgentServer, build_server
from agent.server.heartbeat import HeartbeatSender
from agent.server.running_jobs import RunningJobs
from agent.server.ticks import TickSocket
from agent.spool import Drainer, Uploads, spool_id
from agent.version import agent_version

log = structlog.stdlib.get_logger("agent.server.main")

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LAST_DRAIN_SECONDS = 3.0
_LAST_UPLOAD_SECONDS = 10.0
"""Together with the jobs' end these fit into 30 s, the shortest grace period of this process."""


async def serve(settings: AgentSettings, ticks: TickSocket) -> None:
    """Run the agent server until it is told to stop or cannot go on."""
    stop, stop_now = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(
            number, lambda: (stop_now if stop.is_set() else stop).set()
        )
    secret = settings.livekit_api_secret.get_secret_value()
    livekit = LiveKitConnection(settings.livekit_url, settings.livekit_api_key, secret)
    url = settings.everline_recordings_url
    storage = RecordingStore(url) if url else None
    clocks = {"LiveKit": HttpClock(api_url(settings.livekit_url))}
    if settings.everline_callback_url is not None:
        api = settings.everline_callback_url.rstrip("/")
        clocks["the API"] = HttpClock(f"{api}/health")
    async with livekit, watched_clocks(clocks):
        server = build_server(settings)
        drainer = Drainer(Path(settings.everline_spool_dir))
        uploads = Uploads(Path(settings.everline_spool_dir), storage, livekit)
        log.info(
            "agent_server_starting",
            agent_name=settings.dispatch_name,
            max_jobs=settings.max_jobs,
        )
        stopping = asyncio.create_task(stop.wait())
        tasks: list[asyncio.Task[None]] = [
            # First, because it waits for the server's start.
            asyncio.create_task(_send_heartbeats(settings, server, stop, ticks, drainer)),
            asyncio.create_task(server.run(), name="agent_server"),
            asyncio.create_task(drainer.run(), name="spool_drainer"),
            asyncio.create_task(uploads.run(), name="recording_uploads"),
        ]
        try:
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                await _drain(server, settings.drain_seconds, stop_now)
            await server.aclose()
            await _empty_spool(drainer, uploads)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in (stopping, *tasks):
                task.cancel()
            await asyncio.gather(stopping, *tasks, return_exceptions=True)


async def _send_heartbeats(
    settings: AgentSettings,
    server: CountingAgentServer,
    stop: asyncio.Event,
    ticks: TickSocket,
    drainer: Drainer,
) -> None:
    started = asyncio.Event()
    server.once("worker_started", started.set)
    await started.wait()
    if settings.everline_callback_url is None:
        log.warning("no_heartbeats", why="EVERLINE_CALLBACK_URL is not set")
        await asyncio.Event().wait()
        return
    spool = Path(settings.everline_spool_dir)
    heartbeat = HeartbeatSender(
        settings,
        settings.everline_callback_url,
        RunningJobs(server, ticks, settings.job_silence_seconds, spool),
        lambda: server.draining or stop.is_set(),
        spool_id(spool),
        drainer.hurry,
    )
    try:
        await heartbeat.beat_forever()
    finally:
        # The last heartbeat names no jobs, so that the following silence reports none as dead.
        await heartbeat.beat()
        await heartbeat.aclose()


async def _drain(server: CountingAgentServer, seconds: int, stop_now: asyncio.Event) -> None:
    if seconds == 0:
        return
    draining = asyncio.create_task(server.drain(timeout=seconds))
    hurry = asyncio.create_task(stop_now.wait())
    await asyncio.wait([draining, hurry], return_when=asyncio.FIRST_COMPLETED)
    if draining.done() and isinstance(draining.exception(), TimeoutError):
        log.warning("drain_timed_out", seconds=seconds)
    hurry.cancel()
    draining.cancel()
    # Holds the lock that closing needs.
    await asyncio.gather(draining, return_exceptions=True)


async def _empty_spool(drainer: Drainer, uploads: Uploads) -> None:
    """Deliver what the last calls left, because the disk may not outlive this process."""
    # Uploads second, because entries that the drainer has delivered may have a recording.
    for rounds, seconds in ((drainer, _LAST_DRAIN_SECONDS), (uploads, _LAST_UPLOAD_SECONDS)):
        try:
            async with asyncio.timeout(seconds):
                await rounds.once(pausing=True)
        except (TimeoutError, OSError) as error:
            log.warning(
                "spool_left_to_the_next_agent_server",
                what=type(rounds).__name__,
                error=type(error).__name__,
            )


def main() -> int:
    """Run until stopped; returns the exit code."""
    try:
        settings = load(AgentSettings)
        _check_spool(Path(settings.everline_spool_dir))
    except SettingsError as error:
        sys.stderr.write(f"everline agent: {error}\n")
        return 1
    configure_logging(settings)
    log.info("agent_version", version=agent_version())
    with TickSocket() as ticks:
        asyncio.run(serve(settings, ticks))
    return 0


def _check_spool(spool: Path) -> None:
    try:
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = spool / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in _FULL:
            # There may be room again later; until then calls continue without it.
            return
        raise SettingsError(
            f"EVERLINE_SPOOL_DIR: {spool} cannot be written ({error.strerror});"
            " name a directory that this process may write"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
