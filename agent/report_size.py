"""A report in as many bytes as fit through: less important fields are left out and named."""

import json
from collections.abc import Mapping
from typing import Any

MAX_REPORT_BYTES = 2 * 1024 * 1024
"""Half of the API's limit. Proxies may allow less; the delivery then cuts the report further."""
_DISPENSABLE = (
    *("sdk_report", "turns", "tool_calls", "hand_offs"),
    *("configured_otherwise", "missing_variables", "usage"),
    *("errors", "recording", "error", "close_reason"),
)
"""Left out one after the other, until the rest is small enough. What always remains is less than a
kilobyte."""


def shortened(report: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """The report in at most `limit` bytes, or as short as possible; `left_out` names the rest.

    Turns that are left out have to be sent separately.
    """
    short, left_out = dict(report), list(report.get("left_out", ()))
    for field in _DISPENSABLE:
        if size_of(short) <= limit:
            break
        if short.pop(field, None):
            left_out.append(field)
    return {**short, "left_out": left_out}


def size_of(report: Mapping[str, Any]) -> int:
    """Bytes of the request, as `httpx` writes it."""
    written = json.dumps(report, ensure_ascii=False, separators=(",", ":"))
    return len(written.encode(errors="replace"))
