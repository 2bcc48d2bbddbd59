"""LiveKit's agent server, with a load that counts jobs."""

# The SDK leaves the types of its process pool's events open:
# pyright: reportUnknownMemberType=false

from collections.abc import Callable

from livekit.agents import AgentServer, JobRequest
from livekit.agents.ipc.job_executor import JobExecutor
from livekit.agents.ipc.supervised_proc import SupervisedProc
from livekit.agents.job import RunningJobInfo

from adapters.settings import AgentSettings
from agent.engines.providers import keyed_plugins
from agent.engines.realtime.providers import keyed_realtime_plugins
from agent.job import entrypoint, prewarm, request, session_end

_IDLE_PROCESSES = 2
"""Warm processes: an agent that replaces a lost one must not wait for Python to start."""
_INITIALIZE_SECONDS = 60.0
_FOREVER = 2**31
"""Tries to reach LiveKit, which may start later than we do."""


class CountingAgentServer(AgentServer):
    """Full when `max_jobs` are running or accepted.

    The SDK's own estimate multiplies accepted jobs by an average, which for an empty server says
    "full" after two. `_get_effective_load` is not public; a test guards it.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self.max_jobs = settings.max_jobs
        self._accepted: set[str] = set()
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
            # Once, for all processes: a plugin is imported in none of them again.
            preload_modules=[
                "agent.job",
                *keyed_plugins(settings),
                *keyed_realtime_plugins(settings),
            ],
        )

    def load(self) -> float:
        """Running jobs as a part of `max_jobs`."""
        return len(self.active_jobs) / self.max_jobs

    async def answer(self, job: JobRequest) -> None:
        """Answer a request, counting its job until it is visible among the running ones."""
        self._accepted.add(job.id)
        try:
            await request(job)
        finally:
            self._accepted.discard(job.id)

    def on_process_closed(self, handle: Callable[[RunningJobInfo, int | None], None]) -> None:
        """Call `handle` with each job whose process has ended, and its exit code.

        To be called once the server has started. The pool of processes is not public, and knows of
        a killed process within a tenth of a second; a test guards it.
        """

        def closed(executor: JobExecutor) -> None:
            if executor.running_job is not None:
                handle(executor.running_job, getattr(executor, "exitcode", None))

        self._proc_pool.on("process_closed", closed)

    def on_job_launched(self, handle: Callable[[], None]) -> None:
        """Call `handle` whenever a process has begun with a job."""

        def launched(_: JobExecutor) -> None:
            handle()

        self._proc_pool.on("process_job_launched", launched)

    def pid_of(self, job_id: str) -> int | None:
        """The process of a running job; None if there is none (any more)."""
        executor = self._proc_pool.get_by_job_id(job_id)
        return executor.pid if isinstance(executor, SupervisedProc) else None

    def _get_effective_load(self) -> float:
        running = {info.job.id for info in self.active_jobs}
        not_answered_yet = max(0, self._reserved_slots - len(self._accepted))
        return (len(running | self._accepted) + not_answered_yet) / self.max_jobs


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
