"""The header `Retry-After`, as servers really send it."""

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]+)?", re.ASCII)


def retry_after(header: str, now: float | None = None) -> float | None:
    """Seconds, from either form of the header, also a fraction; 0 for a time that has passed.

    `now` is the sender's Unix time, which a time is compared with; None for this machine's. The
    result is None if the header is missing or malformed.
    """
    text = header.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = at.replace(tzinfo=at.tzinfo or UTC).timestamp()
    return max(until - (time.time() if now is None else now), 0.0)
