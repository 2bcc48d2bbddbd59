"""The agent servers of a stack, and whatever can happen to one of them or to one of its jobs."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from domain.ids import SessionKey
from stack.supervision.health import Check, NotHealthyError
from tests.harness.agent_jobs import job_process
from tests.harness.rig import Rig
from tests.servers import ServerProcess
from tests.waiting import eventually

PART = "agent"
FOUND_SECONDS = 60.0
END_SECONDS = 60.0


@dataclass(frozen=True)
class Host:
    """The agent server that runs a session's job."""

    server: psutil.Process
    job: psutil.Process

    @property
    def everything(self) -> list[psutil.Process]:
        """The server with all its processes, itself first."""
        return [self.server, *self.server.children(recursive=True)]

    def suspend(self) -> list[psutil.Process]:
        """Stop the whole server, as if its machine were frozen; returns what was stopped."""
        stopped = self.everything
        for process in stopped:
            process.suspend()
        return stopped

    def kill(self) -> None:
        """Kill the whole server, as if its machine were gone."""
        for process in self.everything:
            with suppress(psutil.NoSuchProcess):
                process.kill()


class AgentServers(Protocol):
    """Where a call's agents run."""

    async def host(self, key: SessionKey, attempt: int) -> Host:
        """Wait until an attempt's job is found; returns where it runs."""
        ...

    async def start_again(self, ended: Host) -> None:
        """Have a server that ends there again, once it has ended."""
        ...


class OwnServer:
    """The stack's own agent server, which its supervisor starts again."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    async def host(self, key: SessionKey, attempt: int) -> Host:
        """Wait until an attempt's job is found; returns where it runs."""
        job = await self._rig.job(key, attempt)
        pid = self._rig.stack.process(PART).pid
        assert pid is not None
        return Host(psutil.Process(pid), job)

    async def start_again(self, ended: Host) -> None:
        """Wait until it is there again."""
        await self._rig.stack.wait_restarted(PART, ended.server.pid)


class TwoServers:
    """Two servers with a place for one call each, so that a call always goes to the other one.

    A frozen server stays registered with LiveKit, which goes on offering it jobs unless it is full.
    """

    def __init__(self, servers: Sequence[ServerProcess]) -> None:
        self._servers = servers

    async def host(self, key: SessionKey, attempt: int) -> Host:
        """Wait until an attempt's job is found; returns where it runs."""
        found: list[Host] = []

        async def seen() -> bool:
            for server in self._servers:
                assert server.process is not None
                job = await asyncio.to_thread(job_process, server.process.pid, key, attempt)
                if job is not None:
                    found.append(Host(psutil.Process(server.process.pid), job))
            return bool(found)

        await eventually(seen, FOUND_SECONDS, f"a process of attempt {attempt} of {key}")
        return found[0]

    async def start_again(self, ended: Host) -> None:
        """Start a server that ends, once it has ended."""
        [server] = [each for each in self._servers if _pid(each) == ended.server.pid]
        assert server.process is not None
        await asyncio.to_thread(server.process.wait, END_SECONDS)
        server.log.write_text("")
        await server.start()


class FewPlaces:
    """One server with places for a few calls."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    async def job(self, key: SessionKey, attempt: int) -> psutil.Process:
        """Wait until an attempt's job is found; returns its process."""
        pid = _pid(self._server)
        assert pid is not None
        found: list[psutil.Process] = []

        async def seen() -> bool:
            job = await asyncio.to_thread(job_process, pid, key, attempt)
            if job is not None:
                found.append(job)
            return bool(found)

        await eventually(seen, FOUND_SECONDS, f"a process of attempt {attempt} of {key}")
        return found[0]


@asynccontextmanager
async def few_places(rig: Rig, folder: Path, places: int) -> AsyncGenerator[FewPlaces]:
    """One agent server with so many places for the block, in place of the stack's own."""
    pid = rig.stack.process(PART).pid
    assert pid is not None
    environment = psutil.Process(pid).environ() | {"EVERLINE_MAX_JOBS": str(places)}
    await rig.stack.stop_part(PART)
    server = _server(folder / "few", environment)
    try:
        await server.start()
        yield FewPlaces(server)
    finally:
        server.stop()
        await rig.start_agent()


@asynccontextmanager
async def two_agent_servers(rig: Rig, folder: Path) -> AsyncGenerator[TwoServers]:
    """Two agent servers for the block, in place of the stack's own."""
    pid = rig.stack.process(PART).pid
    assert pid is not None
    environment = psutil.Process(pid).environ() | {"EVERLINE_MAX_JOBS": "1"}
    await rig.stack.stop_part(PART)
    servers = [_server(folder / name, environment) for name in ("one", "other")]
    try:
        await asyncio.gather(*(server.start() for server in servers))
        yield TwoServers(servers)
    finally:
        for server in servers:
            server.stop()
        await rig.start_agent()


def _server(folder: Path, environment: dict[str, str]) -> ServerProcess:
    folder.mkdir()
    settings = environment | {"EVERLINE_SPOOL_DIR": str(folder / "spool")}
    return ServerProcess(
        command=[
            *("env", "-i", *(f"{name}={value}" for name, value in settings.items())),
            *(sys.executable, "-m", "agent.server.main"),
        ],
        check=_registered(folder / "agent.log"),
        log=folder / "agent.log",
        # So that its last heartbeat has arrived: a later one would pass for the next server's.
        grace=30,
    )


def _pid(server: ServerProcess) -> int | None:
    return server.process.pid if server.process else None


def _registered(log: Path) -> Check:
    def registered() -> bool:
        return "registered worker" in log.read_text()

    async def check(since: float) -> None:
        if not registered():
            raise NotHealthyError("the agent server has not registered")

    return check
