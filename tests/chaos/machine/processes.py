"""The processes of the parts, frozen or kept from writing files; and an external agent's."""

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack.supervision.health import NotHealthyError
from tests.chaos.machine.callers import EXTERNAL
from tests.chaos.machine.faults import Part
from tests.harness.rig import Rig
from tests.servers import ServerProcess
from tests.waiting import eventually

ANY_PID = -1


async def running(rig: Rig, part: Part) -> psutil.Process:
    """A part's process, once the supervisor says that it is healthy."""
    while True:
        pid = await rig.stack.wait_restarted(part, ANY_PID)
        with suppress(psutil.NoSuchProcess):  # killed since, which the supervisor is about to see
            return psutil.Process(pid)


def with_children(process: psutil.Process) -> list[psutil.Process]:
    """A process with all that it has started, itself first."""
    return [process, *process.children(recursive=True)]


def suspend(processes: Sequence[psutil.Process]) -> None:
    """SIGSTOP; who has ended meanwhile is passed over."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()


def resume(processes: Sequence[psutil.Process]) -> None:
    """SIGCONT; who was killed meanwhile is passed over."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


@dataclass(frozen=True)
class NoFiles:
    """Keeps a process and its children from writing to any file, as a full disk does."""

    process: psutil.Process

    def begin(self) -> None:
        """No file may grow any more."""
        self._limit(full=True)

    async def end(self) -> None:
        """Files may grow again, also in processes that were started meanwhile."""
        await eventually(lambda: not self._limit(full=False))

    def _limit(self, *, full: bool) -> bool:
        """Set the limit; tells whether any process had another one."""
        changed = False
        try:
            processes = with_children(self.process)
        except psutil.NoSuchProcess:
            return False
        for process in processes:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                soft, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                wanted = 0 if full else hard
                process.rlimit(psutil.RLIMIT_FSIZE, (wanted, hard))
                changed = changed or soft != wanted
        return changed


@asynccontextmanager
async def external_agent(rig: Rig, folder: Path) -> AsyncGenerator[None]:
    """A plain LiveKit agent under a name of its own for the block."""
    keys, urls = rig.stack.credentials, rig.stack.urls
    environment = {
        "PYTHONPATH": str(Path.cwd()),
        "PLAIN_AGENT_NAME": EXTERNAL,
        "LIVEKIT_URL": str(urls.livekit),
        "LIVEKIT_API_KEY": keys.livekit_api_key,
        "LIVEKIT_API_SECRET": keys.livekit_api_secret,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{rig.stack.ports.models}/v1",
        "OPENAI_API_KEY": "none",
    }
    log = folder / "external-agent.log"
    log.touch()

    async def registered(since: float) -> None:
        if "registered worker" not in log.read_text():
            raise NotHealthyError("the external agent has not registered")

    process = ServerProcess(
        command=[
            *("env", *(f"{name}={value}" for name, value in environment.items())),
            *(sys.executable, "-m", "tests.fakes.plain_agent", "start"),
        ],
        check=registered,
        log=log,
    )
    try:
        await process.start()
        yield
    finally:
        process.stop()
