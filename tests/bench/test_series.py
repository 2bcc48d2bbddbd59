"""A bench that measures something impossible stops, and says so."""

import pytest

from bench.errors import BenchError
from bench.series import Comparison, Series


@pytest.mark.parametrize("value", [0.0, -0.2, float("nan"), float("inf")])
def test_no_duration_is_zero_or_less(value: float) -> None:
    series = Series("a start", "ms")

    with pytest.raises(BenchError, match=r"a start: measured .* cannot be"):
        series.add(value)

    assert series.values == [], "no table shows it"


def test_a_series_may_know_more_about_its_values() -> None:
    series = Series("until LiveKit notices", "s", above=1.0)
    series.add(20.1)

    with pytest.raises(BenchError, match=r"measured 0.021 s, .* more than 1 s"):
        series.add(0.021)

    assert Comparison("silence", series, []).ratio(series) == 1.0
