"""Places in a list: one text field for order, cursor and range.

A list with one such field is read through one index, without `$or`, and documents of the same
time keep one order between pages, by their ids.
"""

import re
from datetime import UTC, datetime, timedelta

from domain.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SORT_KEY = re.compile(r"[0-9]{14}\.[A-Za-z0-9_-]{1,128}")


def check_sort_key(after: str, form: re.Pattern[str] = _SORT_KEY) -> str:
    """Return a cursor that a client sent.

    Raises:
        InvalidInput: it has not the form of a sort key.
    """
    if not form.fullmatch(after):
        raise InvalidInput("not a cursor of this list", field="cursor")
    return after


def sort_key_of_time(at: datetime) -> str:
    """Where what happened then stands, before its id; times before 1970 stand at its begin."""
    return place_of_number((at - _EPOCH) // _MILLISECOND)


def place_of_seconds(seconds: float) -> str:
    """Where what lasted so long stands, before its id."""
    return place_of_number(round(seconds * 1000))


def place_of_number(number: int) -> str:
    """Where a number stands, before its id; below zero is zero."""
    return f"{max(number, 0):014d}."
