"""Mapping of errors of OpenAI-compatible servers.

The server's message is left out, because it may quote the transcript or the key. Its error code, a
short identifier, is kept.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

import httpx

from domain.errors import EverlineError, InvalidInput, Unavailable

_MAX_RETRY_AFTER = 300
_WORTH_A_RETRY = frozenset({408, 409, 425, 429})
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_.-]{1,60}", re.IGNORECASE)
_CURES = {
    401: ("OPENAI_API_KEY", "check OPENAI_API_KEY"),
    403: ("OPENAI_API_KEY", "check what OPENAI_API_KEY is allowed to use"),
    404: ("SUMMARISER_MODEL", "check SUMMARISER_MODEL and SUMMARISER_BASE_URL"),
    405: ("SUMMARISER_BASE_URL", "check SUMMARISER_BASE_URL; it usually ends with /v1"),
}


def refuses_format(response: httpx.Response) -> bool:
    """Whether the server does not support the requested response format."""
    if response.status_code not in (400, 422, 500, 501):
        return False
    text = response.text.lower()
    return any(word in text for word in ("response_format", "json_schema", "structured output"))


def meaning_of(response: httpx.Response, url: str, model: str) -> EverlineError:
    """The error for an unsuccessful answer."""
    status = response.status_code
    what = f"the summariser at {url} answered {status} for the model {model}{_code(response)}"
    if status in _WORTH_A_RETRY or status >= 500:
        return Unavailable(what, retry_after=_retry_after(response))
    field, cure = _CURES.get(status, (None, None))
    if 300 <= status < 400:
        field, cure = "SUMMARISER_BASE_URL", "use the address that it redirects to"
    return InvalidInput(what, field=field, cure=cure)


def _code(response: httpx.Response) -> str:
    try:
        error: dict[str, Any] = response.json()["error"]
        code = error.get("code") or error.get("type")
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    return f" ({code})" if isinstance(code, str) and _IDENTIFIER.fullmatch(code) else ""


def _retry_after(response: httpx.Response) -> int:
    """Seconds, from either form of the header; a minute if it is malformed."""
    header = response.headers.get("Retry-After", "").strip()
    if not header:
        return 2
    try:
        seconds = float(header)
    except ValueError:
        try:
            at = parsedate_to_datetime(header)
        except ValueError:
            return 60
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return int(min(max(seconds, 1), _MAX_RETRY_AFTER)) if isfinite(seconds) else 60
