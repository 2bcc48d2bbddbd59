"""The header `Retry-After`, as servers really send it."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]+)?", re.ASCII)


def retry_after(header: str) -> float | None:
    """Seconds, from either form of the header, also a fraction; 0 for a time that has passed.

    None if it is missing or malformed.
    """
    text = header.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
