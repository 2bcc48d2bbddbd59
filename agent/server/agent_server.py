"""LiveKit's agent server, full exactly when it runs as many jobs as it may."""
# The SDK leaves the types of its process pool's events open:
# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import Callable
from contextlib import suppress

import aiohttp
import structlog
from livekit.agents import AgentServer, JobRequest
from livekit.agents.ipc.job_executor import JobExecutor
from livekit.agents.ipc.supervised_proc import SupervisedProc
from livekit.agents.job import RunningJobInfo
from livekit.agents.utils.aio import ChanClosed
from livekit.protocol.agent import UpdateWorkerStatus, WorkerMessage, WorkerStatus

from adapters.livekit.tokens import backdating
from adapters.settings import AgentSettings
from agent.call.metadata import job_ref
from agent.engines.providers import keyed_plugins
from agent.server.job import entrypoint, prewarm, session_end
from domain.sessions.control import ATTEMPT_ATTRIBUTE

log = structlog.stdlib.get_logger(__name__)

HIGHEST_FREE_LOAD = 0.5
"""The reported load of a server with a free slot stays below this.

LiveKit silently drops a dispatch if no server's load is below its `agents.target_load`: 0.7 by
default, and unknown for a hosted LiveKit. Below it, a smaller load is preferred.
"""
FULL_LOAD = 1.0
_IDLE_PROCESSES = 2
"""Warm processes: a replacement agent must not wait for Python to start."""
_INITIALIZE_SECONDS = 60.0
_FOREVER = 2**31
"""Connection attempts: LiveKit may start later than this process."""


class CountingAgentServer(AgentServer):
    """Full when `max_jobs` are running or accepted.

    The SDK's own estimate multiplies accepted jobs by an average, by which an empty server is full
    after two; and it reports a full server, or a free slot, up to 2.5 s late. `_is_available`,
    `_update_worker_status` and `_connection_task` are private; tests guard them.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self.max_jobs = settings.max_jobs
        self._accepted: set[str] = set()
        self._said_full = False
        self.on_change: Callable[[], None] = lambda: None
        """Called whenever a job is accepted, launched, or over."""
        self._reports: set[asyncio.Task[None]] = set()
        super().__init__(
            ws_url=settings.livekit_url,
            api_key=settings.livekit_api_key,
            api_secret=settings.livekit_api_secret.get_secret_value(),
            setup_fnc=prewarm,
            load_fnc=self.load,
            load_threshold=1.0,
            num_idle_processes=min(_IDLE_PROCESSES, settings.max_jobs),
            initialize_process_timeout=_INITIALIZE_SECONDS,
            max_retry=_FOREVER,
            host="127.0.0.1",
            port=0,
            # Imported once for all processes.
            preload_modules=["agent.server.job", *keyed_plugins(settings)],
        )

        self.once("worker_started", self._follow_processes)

    def load(self) -> float:
        """Running jobs as a fraction of `max_jobs`: the SDK's metric, used for warm processes.

        LiveKit gets another one; see `HIGHEST_FREE_LOAD`.
        """
        return len(self.active_jobs) / self.max_jobs

    @property
    def taken(self) -> int:
        """Slots in use: running jobs, and those that are accepted or about to be."""
        running = {info.job.id for info in self.active_jobs}
        return len(running - self._accepted) + max(self._reserved_slots, len(self._accepted))

    @property
    def free(self) -> int:
        """Jobs that this server would accept now."""
        return 0 if self.draining else max(self.max_jobs - self.taken, 0)

    async def answer(self, job: JobRequest) -> None:
        """Accept a job, naming its attempt in the room; count it until it is among the running."""
        self._accepted.add(job.id)
        asking = asyncio.current_task()
        if asking is not None:
            # The SDK counts the request until this task is done, and so do we.
            asking.add_done_callback(lambda _: self._answered(job.id))
        # LiveKit learns of the used slot before it reads the answer.
        await self._report_change()
        attempt = job_ref(job.job).attempt
        await job.accept(
            identity=f"agent-{job.id}",
            name=job.agent_name,
            attributes={} if attempt is None else {ATTEMPT_ATTRIBUTE: str(attempt)},
        )

    def on_process_closed(self, handle: Callable[[RunningJobInfo, int | None], None]) -> None:
        """Call `handle` with each job whose process has ended, and its exit code.

        Call this once the server has started. The process pool is private, and notices a killed
        process within a tenth of a second; a test guards it.
        """

        def closed(executor: JobExecutor) -> None:
            if executor.running_job is not None:
                handle(executor.running_job, getattr(executor, "exitcode", None))

        self._proc_pool.on("process_closed", closed)

    def pid_of(self, job_id: str) -> int | None:
        """The process of a running job, if there is one."""
        executor = self._proc_pool.get_by_job_id(job_id)
        return executor.pid if isinstance(executor, SupervisedProc) else None

    def _follow_processes(self) -> None:
        def changed(executor: JobExecutor) -> None:
            if executor.running_job is not None:
                self._changed()

        self._proc_pool.on("process_job_launched", changed)
        self._proc_pool.on("process_closed", changed)

    def _answered(self, job_id: str) -> None:
        self._accepted.discard(job_id)
        self._changed()

    def _changed(self) -> None:
        # In a task, because the pool removes an ended process only after this event.
        report = asyncio.get_running_loop().create_task(self._report_change())
        self._reports.add(report)
        report.add_done_callback(self._reports.discard)

    async def _report_change(self) -> None:
        await self._update_worker_status()
        self.on_change()

    async def _connection_task(self) -> None:
        """Register with LiveKit, by tokens that also a LiveKit whose clock is behind accepts."""
        sdk = self._http_session
        assert sdk is not None
        async with aiohttp.ClientSession(
            connector=sdk.connector,
            connector_owner=False,
            middlewares=(backdating(self._api_secret),),
        ) as own:
            self._http_session = own
            try:
                await super()._connection_task()
            finally:
                # The SDK closes it.
                self._http_session = sdk

    def _is_available(self) -> bool:
        return self.free > 0

    async def _update_worker_status(self) -> None:
        full = self.free == 0
        if full != self._said_full:
            self._said_full = full
            log.info("agent_server_full" if full else "agent_server_has_places", free=self.free)
        load = FULL_LOAD if full else HIGHEST_FREE_LOAD * self.taken / self.max_jobs
        update = UpdateWorkerStatus(
            load=load,
            status=WorkerStatus.WS_FULL if full else WorkerStatus.WS_AVAILABLE,
            job_count=len(self.active_jobs),
        )
        # Closed when the server ends.
        with suppress(ChanClosed):
            await self._queue_msg(WorkerMessage(update_worker=update))


def build_server(settings: AgentSettings) -> CountingAgentServer:
    """The agent server of this process, registered under the dispatch name when it runs."""
    server = CountingAgentServer(settings)
    server.rtc_session(
        entrypoint,
        agent_name=settings.dispatch_name,
        on_request=server.answer,
        on_session_end=session_end,
    )
    return server
