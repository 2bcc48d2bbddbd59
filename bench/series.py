"""Series of measured values, and how they compare."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Series:
    """Values of one kind, measured one after the other.

    Attributes:
        name: what was measured.
        unit: of the values, for instance `ms`.
        values: in the order of measuring.
    """

    name: str
    unit: str
    values: list[float] = field(default_factory=list[float])

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
