"""The seven processes of a stack: what each one runs and needs, and how its health is checked."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stack.binaries import LIVEKIT, TEMPORAL
from stack.layout.environment import Plan, build_environment
from stack.layout.temporal_setup import NAMESPACE, SEARCH_ATTRIBUTES, prepare_temporal
from stack.layout.wanted import PART_NAMES
from stack.supervision import health

TASK_QUEUE = "everline"

# With the defaults, one shard polled 20 times a second delays a regular activity by 60 ms, one that
# is not handed over with its workflow task waits for another round of the queue, timers are up to a
# second late, only ten lists and counts a second are answered, and without WAL SQLite is the
# bottleneck. The new matcher knows priorities: the end of a call goes before a start. Not
# `matching.enableFairness`: it does not read the tasks that wait when it is switched on.
_TEMPORAL_TUNING = (
    *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=1000"),
    *("--dynamic-config-value", "system.enableActivityEagerExecution=true"),
    *("--dynamic-config-value", 'history.timerProcessorMaxTimeShift="50ms"'),
    *("--dynamic-config-value", "frontend.namespaceRPS.visibility=100"),
    *("--dynamic-config-value", "matching.useNewMatcher=true"),
    *("--sqlite-pragma", "journal_mode=wal"),
    *("--sqlite-pragma", "synchronous=normal"),
)


async def _nothing() -> None:
    """Most parts need no preparation."""


@dataclass(frozen=True)
class Part:
    """One process of the stack.

    Attributes:
        needs: Parts that must be healthy before it starts.
        where: Its address, for display.
        start_seconds: How long it may take to become healthy.
        grace_seconds: How long it may take to end after SIGTERM.
        prepare: Runs once it is healthy and before others depend on it.
        check_seconds: Pause between two checks.
        misses: How many checks in a row it may fail before it is killed and restarted. A check may
            take ten seconds, so a part that is frozen for 15 s fails two.
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


def all_parts(plan: Plan) -> list[Part]:
    """Return the parts in start order; they stop in the reverse order."""
    at, ports, home, keys = plan.addresses, plan.addresses.ports, plan.home, plan.credentials
    environment = {name: build_environment(name, plan) for name in PART_NAMES}
    agent = environment["agent"]
    # Without an API there are no heartbeats: a running process must do.
    agent_check = health.agent_listed(at.api) if plan.wanted.wants("api") else health.http_ok()
    return [
        Part(
            "temporal",
            (
                plan.binaries[TEMPORAL.name],
                *("server", "start-dev", "--disable-config-file", "--disable-config-env"),
                *("--ip", "127.0.0.1", "--port", str(ports.temporal)),
                *("--ui-port", str(ports.temporal_ui), "--ui-codec-endpoint"),
                f"http://localhost:{ports.api}/codec/{keys.codec_secret}",
                *("--db-filename", home.temporal_database),
                *(f"--search-attribute={name}={kind}" for name, kind in SEARCH_ATTRIBUTES.items()),
                *_TEMPORAL_TUNING,
            ),
            environment["temporal"],
            health.temporal_serves(at.temporal, NAMESPACE, at.temporal_ui),
            where=f"{at.temporal}, UI {at.temporal_ui}",
            prepare=partial(prepare_temporal, at.temporal),
        ),
        Part(
            "livekit",
            (plan.binaries[LIVEKIT.name], "--config", home.livekit_config),
            environment["livekit"],
            health.livekit_serves(at.livekit_http, keys.livekit_api_key, keys.livekit_api_secret),
            where=at.livekit,
        ),
        Part(
            "mongodb",
            (
                Path(sys.executable).with_name("secantusd-py"),
                *("--config", home.mongodb_config, "--host", "127.0.0.1"),
                *("--port", str(ports.mongodb), "--storage-path", home.mongodb_data),
                # Enough for one person; the default is 1 GB.
                *("--sync-on-commit", "--cache-size", "256M"),
            ),
            environment["mongodb"],
            health.mongodb_answers(ports.mongodb),
            where=f"mongodb://127.0.0.1:{ports.mongodb}",
        ),
        Part(
            "models",
            (sys.executable, "-m", "stack.models"),
            environment["models"],
            health.http_ok(f"{at.models}/health"),
            where=f"{at.models}/v1",
            start_seconds=120,
        ),
        Part(
            "api",
            (sys.executable, "-m", "api.main"),
            environment["api"],
            health.http_ok(f"{at.api}/health"),
            needs=("temporal", "livekit", "mongodb"),
            where=f"http://localhost:{ports.api}",
        ),
        Part(
            "worker",
            (sys.executable, "-m", "worker.main"),
            environment["worker"],
            health.worker_polls(at.temporal, NAMESPACE, TASK_QUEUE),
            needs=("temporal", "livekit", "mongodb"),
            where=f"task queue {TASK_QUEUE}",
            # Running activities may finish.
            grace_seconds=30,
        ),
        Part(
            "agent",
            (sys.executable, "-m", "agent.server.main"),
            agent,
            agent_check,
            needs=("livekit", "models", "api"),
            where=agent.get("AGENT_NAME") or agent.get("LIVEKIT_AGENT_NAME", ""),
            # Running calls are drained, then each job hands in its report.
            grace_seconds=30,
            start_seconds=90,
        ),
    ]
