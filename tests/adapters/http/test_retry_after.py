"""The header `Retry-After` in every form that servers send."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from adapters.http.retry_after import retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("17", 17), (" 2.5 ", 2.5), ("0", 0), ("99999", 99_999), ("000", 0)],
)
def test_seconds(header: str, seconds: float) -> None:
    assert retry_after(header) == seconds


@pytest.mark.parametrize(
    "header",
    ["", " ", "soon", "-5", "+5", "nan", "inf", "1e3", "1_0", "\u0661", "9" * 30, "Mon, 99 Foo"],
)
def test_what_is_neither_seconds_nor_a_time(header: str) -> None:
    assert retry_after(header) is None


@pytest.mark.parametrize(("ahead", "least", "most"), [(100, 90, 100), (-100, 0, 0)])
def test_a_time(ahead: int, least: float, most: float) -> None:
    at = datetime.now(UTC) + timedelta(seconds=ahead)

    for header in (format_datetime(at, usegmt=True), format_datetime(at)):
        assert least <= (retry_after(header) or 0.0) <= most
