"""Series of measured values, and how they compare."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.errors import BenchError


@dataclass
class Series:
    """Values of one kind, measured one after the other.

    Attributes:
        name: what was measured.
        unit: of the values, for instance `ms`.
        values: in the order of measuring.
        above: every true value is greater; another one was measured wrongly.
    """

    name: str
    unit: str
    values: list[float] = field(default_factory=list[float])
    above: float = 0.0

    def add(self, value: float) -> None:
        """Add a measured value.

        Raises:
            BenchError: it is impossible, so the measurement is wrong, and no table may show it.
        """
        if not (math.isfinite(value) and value > self.above):
            raise BenchError(
                f"{self.name}: measured {value:.3f} {self.unit}, which cannot be: it has to be more"
                f" than {self.above:g} {self.unit}. The measurement is wrong, perhaps because it"
                " took something else for what it waited for"
            )
        self.values.append(value)

    @property
    def median(self) -> float:
        """The middle value; NaN without any."""
        return statistics.median(self.values) if self.values else float("nan")

    @property
    def p95(self) -> float:
        """The value that 95 % do not exceed, by nearest rank; NaN without any."""
        if not self.values:
            return float("nan")
        ranked = sorted(self.values)
        return ranked[min(len(ranked) - 1, -(-95 * len(ranked) // 100) - 1)]


@dataclass
class Comparison:
    """One measurement: a baseline, and what is compared with it.

    Attributes:
        title: what the measurement tells.
        baseline: the bare minimum that does the same.
        measured: Everline's ways.
        notes: what a reader has to know to judge the figures.
    """

    title: str
    baseline: Series
    measured: Sequence[Series]
    notes: Sequence[str] = ()

    def ratio(self, series: Series) -> float:
        """Median over the baseline's median."""
        return series.median / self.baseline.median
