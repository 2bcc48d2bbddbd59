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
from typing import Any

import structlog
from livekit.api import LiveKitAPI

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


class Signals:
    """Counts the requests to stop."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def serve(settings: AgentSettings) -> None:
    """Run the agent server until it is told to stop or cannot go on."""
    signals = Signals()
    secret = settings.livekit_api_secret.get_secret_value()
    livekit = LiveKitAPI(settings.livekit_url, settings.livekit_api_key, secret, failover=False)
    with TickSocket() as ticks:
        async with livekit:
            await _serve(settings, signals, ticks, livekit)


async def _serve(
    settings: AgentSettings, signals: Signals, ticks: TickSocket, livekit: LiveKitAPI
) -> None:
    server = build_server(settings)
    url = settings.everline_recordings_url
    storage = RecordingStore(url) if url else None
    drainer = Drainer(Path(settings.everline_spool_dir))
    uploads = Uploads(Path(settings.everline_spool_dir), storage, livekit)
    log.info("agent_server_starting", agent_name=settings.dispatch_name, max_jobs=settings.max_jobs)
    started = asyncio.Event()
    server.once("worker_started", started.set)
    running = asyncio.create_task(server.run(), name="agent_server")
    heartbeats = _heartbeats(settings, server, started, signals, ticks)
    helpers = [
        asyncio.create_task(drainer.run(), name="spool_drainer"),
        asyncio.create_task(uploads.run(), name="recording_uploads"),
        asyncio.create_task(heartbeats, name="heartbeat"),
    ]
    stopping = asyncio.create_task(signals.first.wait())
    try:
        await asyncio.wait([running, stopping, *helpers], return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            await _drain(server, settings.drain_seconds, signals)
        await server.aclose()
        await _hand_over(drainer, uploads)
        for task in (running, *helpers):
            if task.done():
                task.result()
    finally:
        ending: list[asyncio.Task[Any]] = [stopping, running, *helpers]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


async def _heartbeats(
    settings: AgentSettings,
    server: CountingAgentServer,
    started: asyncio.Event,
    signals: Signals,
    ticks: TickSocket,
) -> None:
    await started.wait()
    if settings.everline_callback_url is None:
        log.warning("no_heartbeats", why="EVERLINE_CALLBACK_URL is not set")
        await asyncio.Event().wait()
        return
    jobs = RunningJobs(server, ticks, settings.job_silence_seconds)
    heartbeat = HeartbeatSender(
        settings,
        settings.everline_callback_url,
        jobs,
        lambda: server.draining or signals.first.is_set(),
        spool_id(Path(settings.everline_spool_dir)),
    )
    jobs.on_loss(heartbeat.hurry)
    server.on_change(heartbeat.hurry)
    try:
        await heartbeat.beat_forever()
    finally:
        # The last heartbeat names no jobs, so that the following silence reports none as dead.
        await heartbeat.beat()
        await heartbeat.aclose()


async def _drain(server: CountingAgentServer, seconds: int, signals: Signals) -> None:
    if seconds == 0:
        return
    draining = asyncio.create_task(server.drain(timeout=seconds))
    hurry = asyncio.create_task(signals.second.wait())
    await asyncio.wait([draining, hurry], return_when=asyncio.FIRST_COMPLETED)
    if draining.done() and isinstance(draining.exception(), TimeoutError):
        log.warning("drain_timed_out", seconds=seconds)
    hurry.cancel()
    draining.cancel()
    # Holds the lock that closing needs.
    await asyncio.gather(draining, return_exceptions=True)


async def _hand_over(drainer: Drainer, uploads: Uploads) -> None:
    """Deliver what the last calls left, because the disk may not outlive this process."""
    try:
        async with asyncio.timeout(_LAST_DRAIN_SECONDS):
            await drainer.once(last=True)
    except (TimeoutError, OSError) as error:
        log.warning("spool_left_to_the_next_agent_server", error=type(error).__name__)
    # Second, because entries that the drainer has delivered may have a recording.
    try:
        async with asyncio.timeout(_LAST_UPLOAD_SECONDS):
            await uploads.once(last=True)
    except (TimeoutError, OSError) as error:
        log.warning("recordings_left_to_the_next_agent_server", error=type(error).__name__)


def main() -> int:
    """Run until stopped; returns the exit code."""
    try:
        settings = load(AgentSettings)
        _check_spool(Path(settings.everline_spool_dir))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(settings)
    log.info("agent_version", version=agent_version())
    asyncio.run(serve(settings))
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
