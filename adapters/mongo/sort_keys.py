"""Places in a list: one text field for order, cursor and range.

A list with one such field is read through one index, without `$or`, and documents of the same
time keep one order between pages, by their ids.
"""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def sort_key_of_time(at: datetime) -> str:
    """Where what happened then stands, before its id; times before 1970 stand at its begin."""
    return place_of_number((at - _EPOCH) // _MILLISECOND)


def place_of_seconds(seconds: float) -> str:
    """Where what lasted so long stands, before its id."""
    return place_of_number(round(seconds * 1000))


def place_of_number(number: int) -> str:
    """Where a number stands, before its id; below zero is zero."""
    return f"{max(number, 0):014d}."
