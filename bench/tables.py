"""The measurements as tables for people and as JSON for programs."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.histories import HistoryReport, Kinds
from bench.series import Comparison, Series
from bench.spans import StepTimes


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Median, 95th percentile and ratio to the baseline."""
    table = Table(title=comparison.title, title_justify="left")
    table.add_column("what", no_wrap=True)
    for column in ("n", "median", "p95", "ratio"):
        table.add_column(column, justify="right")
    for series in (comparison.baseline, *comparison.measured):
        table.add_row(
            series.name,
            str(len(series.values)),
            f"{series.median:,.1f} {series.unit}",
            f"{series.p95:,.1f} {series.unit}",
            "baseline" if series is comparison.baseline else f"{comparison.ratio(series):.2f}",
        )
    console.print(table)
    for note in comparison.notes:
        console.print(f"  {note}")
    console.print()


def print_kinds(console: Console, kinds: dict[str, Kinds]) -> None:
    """Events and bytes by kind, for one workflow of each sort."""
    table = _table_of("events (bytes) by kind, one workflow", "event", kinds)
    totals = sum((found.count for found in kinds.values()), start=Counter[str]())
    for kind, _ in totals.most_common():
        table.add_row(kind, *(_cell(found, kind) for found in kinds.values()))
    console.print(table)
    console.print()


def print_actions(console: Console, kinds: dict[str, Kinds]) -> None:
    """Billable actions by kind, for one workflow of each sort."""
    table = _table_of("billable actions by kind, one workflow", "action", kinds)
    totals = sum((found.actions for found in kinds.values()), start=Counter[str]())
    for kind, _ in totals.most_common():
        counts = (found.actions[kind] / found.rounds for found in kinds.values())
        table.add_row(kind, *(f"{count:.1f}" if count else "" for count in counts))
    console.print(table)
    console.print()


def _table_of(title: str, first: str, kinds: dict[str, Kinds]) -> Table:
    """A table with one column for each sort of workflow."""
    table = Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for name in kinds:
        table.add_column(name, justify="right")
    return table


def print_steps(console: Console, steps: StepTimes) -> None:
    """How long each step of a session waited for a worker, and worked; medians."""
    table = Table(title="steps of a session, median (p95)", title_justify="left")
    table.add_column("step", no_wrap=True)
    for column in ("per session", "waited", "worked"):
        table.add_column(column, justify="right")
    fewest = min((len(series.values) for series in steps.waited.values()), default=1)
    for name, waited in steps.waited.items():
        worked = steps.worked[name]
        table.add_row(
            name,
            f"{len(waited.values) / fewest:.1f}",
            f"{waited.median:,.1f} ({waited.p95:,.1f}) ms",
            f"{worked.median:,.1f} ({worked.p95:,.1f}) ms",
        )
    console.print(table)
    console.print()


def _cell(found: Kinds, kind: str) -> str:
    if not found.count[kind]:
        return ""
    return f"{found.count[kind] / found.rounds:.1f} ({found.size[kind] / found.rounds:,.0f})"


def as_json(comparisons: list[Comparison], histories: HistoryReport | None) -> dict[str, Any]:
    """Everything that was measured, raw values included."""
    document: dict[str, Any] = {
        "comparisons": [
            {
                "title": comparison.title,
                "notes": list(comparison.notes),
                "baseline": _series(comparison.baseline, 1.0),
                "measured": [_series(s, comparison.ratio(s)) for s in comparison.measured],
            }
            for comparison in comparisons
        ]
    }
    if histories:
        document["eventsByKind"] = {
            name: {
                "workflows": found.rounds,
                "events": found.count,
                "bytes": found.size,
                "billableActions": found.actions,
            }
            for name, found in histories.kinds.items()
        }
        document["stepsOfASession"] = [
            {
                "name": name,
                "waited": _series(waited, 1.0),
                "worked": _series(histories.steps.worked[name], 1.0),
            }
            for name, waited in histories.steps.waited.items()
        ]
    return document


def _series(series: Series, ratio: float) -> dict[str, Any]:
    return {
        "name": series.name,
        "unit": series.unit,
        "median": series.median,
        "p95": series.p95,
        "ratio": ratio,
        "values": series.values,
    }
