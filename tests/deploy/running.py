"""Services of docker-compose.yml as processes of this machine: same commands, same environment.

Only addresses, ports and folders are put in the place of those inside the containers.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from stack.binaries import LIVEKIT, locate_server
from stack.progress import Progress
from stack.supervision.health import Check, NotHealthyError, http_ok
from tests.deploy.compose import ROOT, Compose, Service, load_compose, seconds
from tests.deploy.test_init import FOLDERS
from tests.servers import MongoServer, ServerProcess, TemporalServer, free_port


@dataclass
class Containers:
    """An installation whose containers are processes.

    Attributes:
        root: Its volumes.
        given: Its `.env`.
        addresses: What stands in the file, and what takes its place here.
    """

    root: Path
    given: dict[str, str]
    addresses: dict[str, str]
    compose: Compose = field(init=False)
    running: dict[str, ServerProcess] = field(default_factory=dict[str, ServerProcess])

    def __post_init__(self) -> None:
        self.compose = load_compose(self.given)

    def here(self, text: str) -> str:
        """A text of the file with this machine's addresses."""
        for there, here in self.addresses.items():
            text = text.replace(there, here)
        return text

    def settings_file(self, name: str) -> Path:
        """What the init service wrote for a process."""
        return self.root / name / "settings.env"

    def environment(self, name: str) -> dict[str, str]:
        """A service's environment: that of the image, and that of the file."""
        declared = self.compose.services[name].environment
        image = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "EVERLINE_SETTINGS_FILE": str(self.settings_file(name)),
        }
        return image | {key: self.here(value) for key, value in declared.items() if value}

    def words(self, name: str, words: Sequence[str]) -> list[str]:
        """A command of a service, to be run with nothing but its environment."""
        inside = {
            "python": sys.executable,
            "everline-entrypoint": str(ROOT / "deploy/compose/entrypoint.sh"),
        }
        pairs = [f"{key}={value}" for key, value in self.environment(name).items()]
        command = [inside.get(word, self.here(word)) for word in words]
        return ["env", "-i", *pairs, *command]

    def command(self, name: str) -> list[str]:
        """The command that starts a service, through the image's entrypoint where it has it."""
        service = self.compose.services[name]
        default = ["everline-entrypoint"] if service.image.startswith("everline:") else []
        entrypoint = default if service.entrypoint is None else service.entrypoint
        return self.words(name, [*entrypoint, *(service.command or [])])

    async def health(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a service's health check once."""
        check = self.compose.services[name].healthcheck
        assert check is not None
        assert check.test[0] == "CMD"
        return await asyncio.to_thread(self._run, self.words(name, check.test[1:]))

    async def run(self, name: str, *words: str) -> str:
        """Run a service that ends by itself, with further words; returns what it said."""
        done = await asyncio.to_thread(self._run, [*self.command(name), *words])
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout

    def _run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, capture_output=True, text=True, cwd=self.root, timeout=180, check=False
        )

    def log(self, name: str) -> str:
        """What a service has written."""
        return (self.root / f"{name}.log").read_text(errors="replace")

    async def start(self, name: str) -> None:
        """Start a service and wait until its own health check succeeds."""
        process = ServerProcess(self.command(name), self._check(name), self.root / f"{name}.log")
        self.running[name] = process
        await process.start()

    def _check(self, name: str) -> Check:
        async def check(since: float) -> None:
            answer = await self.health(name)
            if answer.returncode != 0:
                # Each look is a process of its own and would slow down what it looks at.
                await asyncio.sleep(1)
                raise NotHealthyError(f"{name} is not healthy: {answer.stderr}")

        return check

    async def stop(self, name: str) -> int:
        """Stop a service as Docker does; returns its exit code, -9 if it outlasts its grace.

        It is -15 if it dies of the signal, which uvicorn does on purpose when all is done.
        """
        process = self.running.pop(name).process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        patience = seconds(self.compose.services[name].stop_grace_period or "10s")
        try:
            return await asyncio.to_thread(process.wait, min(patience, 200))
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def stop_all(self) -> None:
        """End what still runs."""
        for process in self.running.values():
            process.stop()


@asynccontextmanager
async def containers(
    root: Path, temporal: TemporalServer, mongo: MongoServer
) -> AsyncGenerator[Containers]:
    """An installation with its LiveKit; nothing of Everline runs yet."""
    for name in FOLDERS:
        (root / name).mkdir()
    api, models, livekit = free_port(), free_port(), free_port()
    unique = f"compose-{int(time.time())}"
    given = {
        "TEMPORAL_NAMESPACE": unique,
        "MONGODB_DATABASE": unique,
        "EVERLINE_LIVEKIT_PORT": str(livekit),
        "EVERLINE_LIVEKIT_TCP_PORT": str(free_port()),
        "EVERLINE_LIVEKIT_UDP_PORTS": str(free_port(udp=True)),
    }
    addresses = {
        "mongodb://mongodb:27017/?replicaSet=everline": mongo.uri,
        "temporal:7233": temporal.address,
        "livekit:7880": f"127.0.0.1:{livekit}",
        "127.0.0.1:4000": f"127.0.0.1:{api}",
        "api:4000": f"127.0.0.1:{api}",
        "127.0.0.1:4010": f"127.0.0.1:{models}",
        "models:4010": f"127.0.0.1:{models}",
        "/opt/everline/compose": str(ROOT / "deploy/compose"),
        "/var/lib/everline/spool": str(root / "spool"),
        "/var/lib/everline/recordings": str(root / "recordings"),
        "0.0.0.0": "127.0.0.1",
    }
    here = Containers(root, given, addresses)
    # The only values without a name of their own around them.
    here.compose.services["api"].environment["PORT"] = str(api)
    here.compose.services["models"].environment["EVERLINE_MODELS_PORT"] = str(models)
    try:
        yield here
    finally:
        here.stop_all()


async def run_init(here: Containers) -> str:
    """Run the init service; returns the API key, as an operator sees it."""
    owner = f"{os.getuid()}:{os.getgid()}"
    init: Service = here.compose.services["init"]
    init.environment |= here.given
    init.environment |= {"EVERLINE_INIT_ROOT": str(here.root), "EVERLINE_RUN_AS": owner}
    await here.run("init")
    return (await here.run("init", "show-key")).strip()


async def start_livekit(here: Containers) -> None:
    """Start the tested LiveKit with the configuration that the init service wrote."""
    written: dict[str, object] = json.loads(here.here(_config(here).read_text()))
    # One node on this machine alone, and its media as well.
    del written["redis"]
    written |= {"port": int(here.given["EVERLINE_LIVEKIT_PORT"]), "bind_addresses": ["127.0.0.1"]}
    rtc = written["rtc"]
    assert isinstance(rtc, dict)
    rtc["ips"] = {"includes": ["127.0.0.1/32"]}
    _config(here).write_text(json.dumps(written))
    command = here.compose.services["livekit"].command
    assert command == ["--config", "/run/everline/livekit.json"], "where init writes it"
    binary = locate_server(LIVEKIT, Progress(Console(stderr=True)))
    process = ServerProcess(
        (binary, "--config", _config(here)),
        http_ok(f"http://127.0.0.1:{here.given['EVERLINE_LIVEKIT_PORT']}"),
        here.root / "livekit.log",
    )
    here.running["livekit"] = process
    await process.start()


def _config(here: Containers) -> Path:
    return here.root / "livekit" / "livekit.json"
