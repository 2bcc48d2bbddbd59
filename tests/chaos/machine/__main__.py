"""`make chaos`: a stack of its own, a plan from a seed, and a table at the end."""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from tests.chaos.machine.plan import make_plan
from tests.chaos.machine.processes import external_agent
from tests.chaos.machine.report import Report
from tests.chaos.machine.run import run
from tests.harness.rig import running_rig
from tests.redis import start_redis


def main() -> None:
    """Run once; exits with 1 if anything is violated."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeats a run; chosen at random unless given")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (default: 5)")
    parser.add_argument(
        "--without-redis", action="store_true", help="have LiveKit keep its lists in memory"
    )
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    report = asyncio.run(_run(seed, options.minutes, with_redis=not options.without_redis))
    print(report.text())  # noqa: T201 - the result of the command
    sys.exit(1 if report.violations else 0)


async def _run(seed: int, minutes: float, *, with_redis: bool) -> Report:
    this = asyncio.current_task()
    assert this is not None
    # Ends everything that was started, as Ctrl-C does.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    command = f"make chaos SEED={seed} MINUTES={minutes:g}"
    if not with_redis:
        command += " ARGS=--without-redis"
    say(command)
    plan = make_plan(seed, minutes * 60, redis=with_redis, external=True)
    async with AsyncExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="everline-chaos-")))
        redis = await running.enter_async_context(start_redis()) if with_redis else None
        settings = {"livekit": {"REDIS_HOST": redis.address}} if redis else None
        rig = await running.enter_async_context(running_rig(folder / "stack", settings=settings))
        await running.enter_async_context(external_agent(rig, folder))
        return await run(rig, plan, command, say, redis)


def say(text: str) -> None:
    """Progress, at once."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - for who waits


if __name__ == "__main__":
    main()
