"""`python -m bench`: what Everline costs, compared with the bare minimum on the same servers."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from temporalio.worker import Worker

from bench.bare import TASK_QUEUE, BareSession, Trivial, nothing
from bench.capacity import CALLS, measure_capacity
from bench.errors import BenchError
from bench.flood import measure_flood
from bench.histories import HistoryReport, measure_histories
from bench.instant_stand import InstantStand, instant_stand
from bench.joins import measure_joins, measure_storm
from bench.series import Comparison
from bench.silences import measure_silences
from bench.stand import Stand, stand
from bench.starts import measure_starts
from bench.tables import as_json, print_actions, print_comparison, print_kinds, print_steps
from bench.turns import measure_turns
from stack.errors import StackError

OF_A_STACK = ("starts", "joins", "storm", "histories", "silences")
OF_THE_AGENT = ("turns", "capacity")
MEASUREMENTS = (*OF_A_STACK, *OF_THE_AGENT, "flood")
StepPrinter = Callable[..., Callable[[], None]]
"""Makes a function that prints progress, from a measurement's name and number of rounds."""

LIMIT_SECONDS = 2400
"""Limit of the whole run."""
MOST_ROUNDS = 200
MOST_STORMS = 3
"""Each has many sessions."""


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


@dataclass
class _Results:
    comparisons: list[Comparison] = field(default_factory=list[Comparison])
    histories: HistoryReport | None = None


async def _run(given: argparse.Namespace, progress: Console, output: Console) -> None:
    results = _Results()
    asked = (given.only,) if given.only else MEASUREMENTS

    def steps(name: str, rounds: int = given.rounds) -> Callable[[], None]:
        done = iter(range(1, rounds + 1))
        return lambda: progress.print(f"{name}: round {next(done)} of {rounds}")

    async with asyncio.timeout(LIMIT_SECONDS):
        if any(name in OF_A_STACK for name in asked):
            progress.print("looking for a stack, else starting one")
            async with stand() as stack:
                await _measure_a_stack(stack, asked, given.rounds, steps, results)
        if any(name in OF_THE_AGENT for name in asked):
            progress.print("starting a stack whose models answer at once")
            async with instant_stand() as instant:
                await _measure_the_agent(instant, asked, given.rounds, steps, results)
        if "flood" in asked:
            progress.print("starting a stack without agents, whose model hangs")
            results.comparisons += await measure_flood(
                given.rounds, steps("flood", 2 * given.rounds)
            )
    if given.json:
        output.print_json(json.dumps(as_json(results.comparisons, results.histories)))
        return
    for comparison in results.comparisons:
        print_comparison(output, comparison)
    if results.histories:
        print_kinds(output, results.histories.kinds)
        print_actions(output, results.histories.kinds)
        print_steps(output, results.histories.steps)


async def _measure_a_stack(
    stack: Stand, asked: Sequence[str], rounds: int, steps: StepPrinter, results: _Results
) -> None:
    worker = Worker(
        stack.temporal,
        task_queue=TASK_QUEUE,
        workflows=[Trivial, BareSession],
        activities=[nothing],
    )
    async with worker:
        if "starts" in asked:
            results.comparisons.append(await measure_starts(stack, rounds, steps("starts")))
        if "joins" in asked:
            results.comparisons.append(await measure_joins(stack, rounds, steps("joins")))
        if "storm" in asked:
            storms = min(rounds, MOST_STORMS)
            results.comparisons += await measure_storm(stack, storms, steps("storm", storms))
        if "histories" in asked:
            results.histories = await measure_histories(stack, rounds, steps("histories"))
            found = results.histories
            results.comparisons += [found.events, found.size, found.actions]
        if "silences" in asked:
            results.comparisons.append(await measure_silences(stack, rounds, steps("silences")))


async def _measure_the_agent(
    instant: InstantStand,
    asked: Sequence[str],
    rounds: int,
    steps: StepPrinter,
    results: _Results,
) -> None:
    if "turns" in asked:
        results.comparisons.append(await measure_turns(instant, rounds, steps("turns")))
    if "capacity" in asked:
        results.comparisons += await measure_capacity(instant, steps("capacity", CALLS + 1))


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
