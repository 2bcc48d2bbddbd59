"""The seven processes of a stack: what each one needs, runs, and shows when it is healthy."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.binaries import LIVEKIT, TEMPORAL
from stack.layout.credentials import Credentials
from stack.layout.environment import Addresses, build_environment
from stack.layout.home import Home
from stack.layout.temporal_setup import NAMESPACE, SEARCH_ATTRIBUTES, prepare_temporal
from stack.layout.wanted import Wanted
from stack.supervision import health

TASK_QUEUE = "everline"

# Found to matter out of the box. One shard polled 20 times a second costs a regular activity 60 ms
# of waiting, an activity that is not handed over with its workflow task costs a round of the queue,
# timers are up to a second late, and without WAL SQLite is the brake.
_TEMPORAL_TUNING = (
    "--dynamic-config-value",
    "history.transferProcessorMaxPollRPS=1000",
    "--dynamic-config-value",
    "system.enableActivityEagerExecution=true",
    "--dynamic-config-value",
    'history.timerProcessorMaxTimeShift="50ms"',
    "--sqlite-pragma",
    "journal_mode=wal",
    "--sqlite-pragma",
    "synchronous=normal",
)


async def _nothing() -> None:
    """Most parts need no preparation."""


@dataclass(frozen=True)
class Part:
    """One process of the stack.

    Attributes:
        name: Its name, everywhere.
        command: Program and arguments.
        environment: Its whole environment.
        check: Raises when it does not do its work.
        needs: Parts that must be healthy before it starts.
        where: Where it is reached, for people.
        start_seconds: How long it may take to become healthy.
        grace_seconds: How long it may take to end after SIGTERM.
        prepare: What is done once it is healthy and before others rely on it.
        check_seconds: How long to wait between two checks while it runs.
        misses: How many checks in a row it may fail before it is killed and started again. A check
            is given ten seconds, so a part that is frozen for a quarter of a minute fails two.
    """

    name: str
    command: tuple[str | Path, ...]
    environment: Mapping[str, str]
    check: health.Check
    needs: tuple[str, ...] = ()
    where: str = ""
    start_seconds: float = 60.0
    grace_seconds: float = 15.0
    prepare: Callable[[], Awaitable[None]] = _nothing
    check_seconds: float = 10.0
    misses: int = 5


@dataclass(frozen=True)
class Plan:
    """Everything decided before the first process starts.

    Attributes:
        home: The stack's home.
        credentials: Its keys.
        addresses: Where its servers will be.
        binaries: The server binaries by their program's name.
        wanted: What is left out, and settings of single parts.
        caller: The environment that `everline up` was called in.
    """

    home: Home
    credentials: Credentials
    addresses: Addresses
    binaries: Mapping[str, Path]
    wanted: Wanted
    caller: Mapping[str, str]

    def environment(self, part: str) -> dict[str, str]:
        """Return a process's whole environment."""
        return build_environment(
            part, self.home, self.credentials, self.addresses, self.wanted, self.caller
        )


def all_parts(plan: Plan) -> list[Part]:
    """Return the parts in the order in which they start; they stop in the reverse order."""
    return [build(plan) for build in _BUILDERS]


def _temporal(plan: Plan) -> Part:
    ports, addresses = plan.addresses.ports, plan.addresses
    codec = f"http://localhost:{ports.api}/codec/{plan.credentials.codec_secret}"
    attributes = [
        word
        for name, kind in SEARCH_ATTRIBUTES.items()
        for word in ("--search-attribute", f"{name}={kind}")
    ]
    return Part(
        name="temporal",
        command=(
            plan.binaries[TEMPORAL.name],
            *("server", "start-dev", "--disable-config-file", "--disable-config-env"),
            *("--ip", "127.0.0.1", "--port", str(ports.temporal)),
            *("--ui-port", str(ports.temporal_ui), "--ui-codec-endpoint", codec),
            *("--db-filename", plan.home.temporal_database),
            *attributes,
            *_TEMPORAL_TUNING,
        ),
        environment=plan.environment("temporal"),
        check=health.temporal_serves(addresses.temporal, NAMESPACE, addresses.temporal_ui),
        where=f"{addresses.temporal}, UI {addresses.temporal_ui}",
        prepare=lambda: prepare_temporal(addresses.temporal),
    )


def _livekit(plan: Plan) -> Part:
    return Part(
        name="livekit",
        command=(plan.binaries[LIVEKIT.name], "--config", plan.home.livekit_config),
        environment=plan.environment("livekit"),
        check=health.livekit_serves(
            plan.addresses.livekit_http,
            plan.credentials.livekit_api_key,
            plan.credentials.livekit_api_secret,
        ),
        where=plan.addresses.livekit,
    )


def _mongodb(plan: Plan) -> Part:
    return Part(
        name="mongodb",
        command=(
            Path(sys.executable).with_name("secantusd-py"),
            *("--config", plan.home.mongodb_config, "--host", "127.0.0.1"),
            *("--port", str(plan.addresses.ports.mongodb)),
            *("--storage-path", plan.home.mongodb_data, "--sync-on-commit"),
            # Enough for one person; the default would be 1 GB.
            *("--cache-size", "256M"),
        ),
        environment=plan.environment("mongodb"),
        check=health.mongodb_answers(plan.addresses.ports.mongodb),
        where=f"mongodb://127.0.0.1:{plan.addresses.ports.mongodb}",
    )


def _models(plan: Plan) -> Part:
    return Part(
        name="models",
        command=(sys.executable, "-m", "stack.models"),
        environment=plan.environment("models"),
        check=health.http_ok(f"{plan.addresses.models}/health"),
        where=f"{plan.addresses.models}/v1",
        start_seconds=120,
    )


def _api(plan: Plan) -> Part:
    return Part(
        name="api",
        command=(sys.executable, "-m", "api.main"),
        environment=plan.environment("api"),
        check=health.http_ok(f"{plan.addresses.api}/health"),
        needs=("temporal", "livekit", "mongodb"),
        where=f"http://localhost:{plan.addresses.ports.api}",
    )


def _worker(plan: Plan) -> Part:
    return Part(
        name="worker",
        command=(sys.executable, "-m", "worker.main"),
        environment=plan.environment("worker"),
        check=health.worker_polls(plan.addresses.temporal, NAMESPACE, TASK_QUEUE),
        needs=("temporal", "livekit", "mongodb"),
        where=f"task queue {TASK_QUEUE}",
        # Activities in progress are given the time to finish.
        grace_seconds=30,
    )


def _agent(plan: Plan) -> Part:
    environment = plan.environment("agent")
    check = _lives
    if plan.wanted.wants("api"):
        check = health.agent_listed(plan.addresses.api)
    return Part(
        name="agent",
        command=(sys.executable, "-m", "agent.server.main"),
        environment=environment,
        check=check,
        needs=("livekit", "models", "api"),
        where=environment.get("AGENT_NAME") or environment.get("LIVEKIT_AGENT_NAME", ""),
        # Running calls are drained, then each job hands in its report.
        grace_seconds=30,
        start_seconds=90,
    )


async def _lives(since: float) -> None:
    """Without an API nobody hears from an agent server; that it lives must do."""


_BUILDERS = (_temporal, _livekit, _mongodb, _models, _api, _worker, _agent)
