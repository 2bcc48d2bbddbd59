"""The table of a run."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Key = TypeVar("Key", str, int)


@dataclass(frozen=True)
class Report:
    """What a run did and found."""

    command: str
    """How the run is repeated."""
    seconds: float
    injected: Mapping[str, int]
    missed: Mapping[str, int]
    outcomes: Mapping[str, int]
    refused: Mapping[int, int]
    """Starts that were never accepted, by the last status; 0 for none."""
    answers: int
    """Sentences of agents that callers read."""
    recoveries: Mapping[str, Sequence[float]]
    violations: Sequence[str]

    def text(self) -> str:
        """The report in Markdown."""
        recoveries = [one for seconds in self.recoveries.values() for one in seconds]
        kinds = sorted({*self.injected, *self.missed})
        refused = [f"{count} x {status or 'no answer'}" for status, count in _sorted(self.refused)]
        lines = [
            f"`{self.command}`: {self.seconds:.0f} s, {sum(self.injected.values())} faults, "
            f"{sum(self.outcomes.values())} sessions, {self.answers} answers of agents heard, "
            f"{len(self.violations)} violations",
            "",
            "| fault | injected | without a target | recovered after, p50 | p95 | max |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *(self._fault(kind) for kind in kinds),
            _row("all", sum(self.injected.values()), sum(self.missed.values()), recoveries),
            "",
            "| session ended as | sessions |",
            "| --- | ---: |",
            *(f"| {outcome} | {count} |" for outcome, count in _sorted(self.outcomes)),
            "",
            f"Starts never accepted, by their last status: {', '.join(refused) or 'none'}.",
        ]
        if self.violations:
            lines += ["", f"{len(self.violations)} violations:", *self.violations]
            lines += ["", f"Repeat it with: {self.command}"]
        return "\n".join(lines)

    def _fault(self, kind: str) -> str:
        injected, missed = self.injected.get(kind, 0), self.missed.get(kind, 0)
        return _row(kind, injected, missed, self.recoveries.get(kind, ()))


def _row(kind: str, injected: int, missed: int, seconds: Sequence[float]) -> str:
    shown = " | ".join(f"{percentile(seconds, p):.1f} s" if seconds else "" for p in (50, 95, 100))
    return f"| {kind} | {injected} | {missed or ''} | {shown} |"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def _sorted(counted: Mapping[Key, int]) -> list[tuple[Key, int]]:
    return Counter(counted).most_common()
