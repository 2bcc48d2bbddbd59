"""Sort keys: one text field that serves as order, cursor and range of a list.

Such a list is read through one index, without `$or`. Documents of the same time are ordered by id,
so pages stay consistent.
"""

import re
from datetime import UTC, datetime, timedelta

from domain.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SORT_KEY = re.compile(r"[0-9]{14}\.[A-Za-z0-9_.:-]{1,256}")


def check_sort_key(after: str) -> str:
    """Return a cursor that a client sent; `InvalidInput` if it is not a sort key."""
    if not _SORT_KEY.fullmatch(after):
        raise InvalidInput("not a cursor of this list", field="cursor")
    return after


def sort_key_of_time(at: datetime) -> str:
    """The sort key of a time, to be followed by the id; times before 1970 sort as 1970."""
    return f"{max((at - _EPOCH) // _MILLISECOND, 0):014d}."


def sort_key_of_seconds(seconds: float) -> str:
    """The sort key of a duration, to be followed by the id."""
    return f"{max(round(seconds * 1000), 0):014d}."
