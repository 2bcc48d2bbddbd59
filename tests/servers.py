"""Real servers for tests: LiveKit, Temporal and the MongoDB-compatible server, on free ports.

Each is started once per test run, at its first use, and stopped at its end. A test that kills or
pauses one uses a server of its own (`start_mongo` …) or puts it back before it ends.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console
from temporalio.client import Client
from temporalio.service import RPCError

from stack.binaries import LIVEKIT, TEMPORAL, Server, locate_server
from stack.layout.sockets import is_free
from stack.layout.temporal_setup import SEARCH_ATTRIBUTES
from stack.progress import Progress
from stack.supervision import parent_death
from stack.supervision.health import Check, NotHealthyError, http_ok, mongodb_answers

START_SECONDS = 240.0
"""Longer than a test's own time limit, which ends what hangs: a busy machine is only slow."""
# Below the range of outgoing connections, so that a restarted server gets its port back; each
# process of a test run has a part of its own, for the same reason.
_PORTS = 1_500
_FIRST_PORT = 20_000 + _PORTS * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 6)
# Given out, though perhaps nothing listens there yet.
_given: deque[int] = deque(maxlen=1_000)


def free_port(*, udp: bool = False) -> int:
    """A port that nothing listens on, and that nobody else was given lately."""
    while True:
        port = random.randrange(_FIRST_PORT, _FIRST_PORT + _PORTS)
        if port not in _given and is_free(port, udp=udp):
            _given.append(port)
            return port


@dataclass
class ServerProcess:
    """A server as a process that can be killed, paused and started again."""

    command: Sequence[str | Path]
    check: Check
    log: Path
    grace: float = 3.0
    """Seconds that it may take to end when asked to."""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    async def start(self) -> None:
        """Start it and wait until it does its work."""
        # Ends with the test run, even if that is killed; its output goes into a log of its own.
        tied = [sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid())]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - returns at once, output to a file
                [*tied, *(str(word) for word in self.command)],
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        await self._wait_until_healthy(time.monotonic() + START_SECONDS)

    async def _wait_until_healthy(self, deadline: float) -> None:
        while True:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"{self.command[0]} ended:\n{self._log_tail()}")
            try:
                return await self.check(0.0)
            except NotHealthyError as problem:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{problem}\n{self._log_tail()}") from None
            await asyncio.sleep(0.05)

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL, 10.0)

    def stop(self) -> None:
        """Ask it to end; by force if it does not."""
        self._end(signal.SIGTERM, self.grace)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals, patience: float) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class LiveKitServer:
    """A LiveKit server on loopback, with `auto_create: false` as in the stack."""

    url: str
    api_url: str
    api_key: str
    api_secret: str
    process: ServerProcess


@dataclass
class MongoServer:
    """A MongoDB-compatible server whose acknowledged writes survive a crash."""

    uri: str
    process: ServerProcess


@dataclass
class TemporalServer:
    """A durable Temporal dev server with Everline's search attributes, without a UI."""

    address: str
    process: ServerProcess


@asynccontextmanager
async def start_livekit(
    webhook_url: str | None = None, redis: str | None = None
) -> AsyncGenerator[LiveKitServer]:
    """A LiveKit server for the block; it sends its webhooks to `webhook_url`, signed.

    Its lists are in memory, or in the Redis at `redis`.
    """
    key, secret = "APItestkey", "a-secret-for-tests-of-at-least-32-characters"
    port = free_port()
    config: dict[str, object] = {
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "rtc": {
            "tcp_port": free_port(),
            "udp_port": free_port(udp=True),
            "use_external_ip": False,
            "node_ip": "127.0.0.1",
            "enable_loopback_candidate": True,
            "ips": {"includes": ["127.0.0.1/32"]},
        },
        "room": {"auto_create": False},
        "keys": {key: secret},
        "logging": {"level": "info"},
    }
    if redis:
        config["redis"] = {"address": redis}
    if webhook_url:
        config["webhook"] = {"api_key": key, "urls": [webhook_url]}
    with tempfile.TemporaryDirectory(prefix="everline-livekit-") as folder:
        file = Path(folder) / "livekit.yaml"
        file.write_text(json.dumps(config), encoding="utf-8")
        process = ServerProcess(
            command=(locate_for_tests(LIVEKIT), "--config", file),
            check=http_ok(f"http://127.0.0.1:{port}"),
            log=Path(folder) / "livekit.log",
        )
        async with _running(process):
            yield LiveKitServer(
                f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}", key, secret, process
            )


@asynccontextmanager
async def start_mongo() -> AsyncGenerator[MongoServer]:
    """A MongoDB-compatible server for the block, with an empty database."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="everline-mongo-") as folder:
        config = Path(folder) / "empty.toml"
        config.touch()
        process = ServerProcess(
            command=(
                Path(sys.executable).with_name("secantusd-py"),
                *("--config", config, "--host", "127.0.0.1", "--port", str(port)),
                *("--storage-path", Path(folder) / "data", "--cache-size", "64M"),
                "--sync-on-commit",
            ),
            check=mongodb_answers(port),
            log=Path(folder) / "mongo.log",
        )
        async with _running(process):
            yield MongoServer(f"mongodb://127.0.0.1:{port}", process)


@asynccontextmanager
async def start_temporal() -> AsyncGenerator[TemporalServer]:
    """A Temporal dev server for the block, durable over its own restarts."""
    port = free_port()
    attributes = [
        word
        for name, kind in SEARCH_ATTRIBUTES.items()
        for word in ("--search-attribute", f"{name}={kind}")
    ]
    with tempfile.TemporaryDirectory(prefix="everline-temporal-") as folder:
        process = ServerProcess(
            command=(
                locate_for_tests(TEMPORAL),
                *("server", "start-dev", "--headless", "--log-level", "error"),
                *("--disable-config-file", "--disable-config-env"),
                *("--ip", "127.0.0.1", "--port", str(port)),
                *("--db-filename", Path(folder) / "temporal.db"),
                *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=1000"),
                *("--dynamic-config-value", "matching.useNewMatcher=true"),
                *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"),
                *attributes,
            ),
            check=_temporal_serves(f"127.0.0.1:{port}"),
            log=Path(folder) / "temporal.log",
        )
        async with _running(process):
            yield TemporalServer(f"127.0.0.1:{port}", process)


@asynccontextmanager
async def _running(process: ServerProcess) -> AsyncGenerator[None]:
    try:
        await process.start()
        yield
    finally:
        process.kill()  # nothing of it is kept


def _temporal_serves(address: str) -> Check:
    async def check(since: float) -> None:
        try:
            async with asyncio.timeout(3):
                client = await Client.connect(address)
                await client.count_workflows()
        except (RPCError, RuntimeError, TimeoutError) as problem:
            raise NotHealthyError(f"no Temporal at {address}: {problem}") from None

    return check


def locate_for_tests(server: Server) -> Path:
    """The binary that tests run, built at the first need."""
    return locate_server(server, Progress(Console(stderr=True)))


@pytest.fixture(scope="session")
async def livekit_server() -> AsyncGenerator[LiveKitServer]:
    """The LiveKit server that tests share; rooms are told apart by their names."""
    async with start_livekit() as server:
        yield server


@pytest.fixture(scope="session")
async def mongo_server() -> AsyncGenerator[MongoServer]:
    """The MongoDB-compatible server that tests share; each takes a database of its own."""
    async with start_mongo() as server:
        yield server


@pytest.fixture(scope="session")
async def temporal_server() -> AsyncGenerator[TemporalServer]:
    """The Temporal server that tests share; each takes a task queue and ids of its own."""
    async with start_temporal() as server:
        yield server


_BUILT: dict[str, Server] = {"livekit_server": LIVEKIT, "temporal_server": TEMPORAL}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the collected tests need before the first one's time limit begins to run."""
    if session.config.option.collectonly:
        return
    fixtures = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    for fixture, server in _BUILT.items():
        if fixture in fixtures:
            locate_for_tests(server)
