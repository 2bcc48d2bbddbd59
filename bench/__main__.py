"""`python -m bench`: what Everline costs, beside the bare minimum on the same servers."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable

from rich.console import Console
from temporalio.worker import Worker

from bench.bare import TASK_QUEUE, BareSession, Trivial, nothing
from bench.histories import HistoryReport, measure_histories
from bench.joins import measure_joins
from bench.series import Comparison
from bench.stand import BenchError, stand
from bench.starts import measure_starts
from bench.tables import as_json, print_comparison, print_kinds, print_steps
from stack.errors import StackError

MEASUREMENTS = ("starts", "joins", "histories")
LIMIT_SECONDS = 1200
"""The whole run; a stack that has to be built is built before."""
MOST_ROUNDS = 200


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures the stack that runs, else one of its own that it starts and stops.",
    )
    parser.add_argument("--only", choices=MEASUREMENTS, help="just this measurement")
    parser.add_argument("--rounds", type=int, default=8, help="repetitions of each (default 8)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    given = parser.parse_args()
    if not 1 <= given.rounds <= MOST_ROUNDS:
        parser.error(f"--rounds: from 1 to {MOST_ROUNDS}")
    return given


async def _run(given: argparse.Namespace, progress: Console, output: Console) -> None:
    comparisons: list[Comparison] = []
    histories: HistoryReport | None = None

    def steps(name: str) -> Callable[[], None]:
        done = iter(range(1, given.rounds + 1))
        return lambda: progress.print(f"{name}: round {next(done)} of {given.rounds}")

    progress.print("looking for a stack, else starting one")
    async with stand() as stack:
        worker = Worker(
            stack.temporal,
            task_queue=TASK_QUEUE,
            workflows=[Trivial, BareSession],
            activities=[nothing],
        )
        async with worker, asyncio.timeout(LIMIT_SECONDS):
            if given.only in (None, "starts"):
                comparisons.append(await measure_starts(stack, given.rounds, steps("starts")))
            if given.only in (None, "joins"):
                comparisons.append(await measure_joins(stack, given.rounds, steps("joins")))
            if given.only in (None, "histories"):
                histories = await measure_histories(stack, given.rounds, steps("histories"))
                comparisons += [histories.events, histories.size]
    if given.json:
        output.print_json(json.dumps(as_json(comparisons, histories)))
        return
    for comparison in comparisons:
        print_comparison(output, comparison)
    if histories:
        print_kinds(output, histories.kinds)
        print_steps(output, histories.steps)


def _output() -> Console:
    output = Console(highlight=False)
    return output if output.is_terminal else Console(highlight=False, width=120)


def main() -> None:
    """Measure and print."""
    progress = Console(stderr=True, highlight=False)
    try:
        asyncio.run(_run(_arguments(), progress, _output()))
    except (BenchError, StackError) as problem:
        sys.exit(f"bench: {problem}")
    except TimeoutError:
        sys.exit(f"bench: not done within {LIMIT_SECONDS} s; try fewer --rounds")


if __name__ == "__main__":
    main()
