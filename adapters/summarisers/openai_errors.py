"""Mapping of errors of OpenAI-compatible servers.

The server's message is left out, because it may quote the transcript or the key. Its error code, a
short identifier, is kept.
"""

import re
from typing import Any, NamedTuple

import httpx

from adapters.http.clocks import date_of
from adapters.http.retry_after import retry_after
from domain.errors import EverlineError, InvalidInput, Unavailable

_MAX_RETRY_AFTER = 300
_WORTH_A_RETRY = frozenset({408, 409, 425, 429})
_OVERLOADED = frozenset({408, 425, 429, 502, 503, 504, 529})
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_.-]{1,60}", re.IGNORECASE)
_CURES = {
    401: ("OPENAI_API_KEY", "check OPENAI_API_KEY"),
    402: ("OPENAI_API_KEY", "add credit to the account of OPENAI_API_KEY"),
    403: ("OPENAI_API_KEY", "check what OPENAI_API_KEY is allowed to use"),
    404: ("SUMMARISER_MODEL", "check SUMMARISER_MODEL and SUMMARISER_BASE_URL"),
    405: ("SUMMARISER_BASE_URL", "check SUMMARISER_BASE_URL; it usually ends with /v1"),
}


class _Cause(NamedTuple):
    words: str
    sentence: str
    field: str
    cure: str


_CAUSES = [
    _Cause(
        r"context.?(?:length|window|size)|maximum.{0,30}tokens|too many tokens|prompt is too long",
        "the transcript is too long for the model",
        "SUMMARISER_MODEL",
        "use a model with a longer context",
    ),
    _Cause(
        r"content.?(?:filter|policy|management)|responsible.?ai|moderation|safety",
        "a content filter refused the transcript",
        "SUMMARISER_MODEL",
        "relax the filter, or use another server",
    ),
    _Cause(
        r"api.?key.{0,40}(?:valid|incorrect|expired)|(?:invalid|incorrect).{0,20}api.?key",
        "the key is wrong",
        "OPENAI_API_KEY",
        "check OPENAI_API_KEY",
    ),
    _Cause(
        r"model\b.{0,120}(?:not found|not exist|not a valid|decommissioned|deprecated)"
        r"|(?:invalid|unknown|no such) model",
        "the server does not have the model",
        "SUMMARISER_MODEL",
        "check SUMMARISER_MODEL",
    ),
]
"""Causes that servers state with many status codes and in many words."""
_FORMAT = re.compile(r"response.?format|json.?schema|structured.?output|json.?mode|grammar|guided")
_ROLES = re.compile(r"\broles?\b|\bsystem\b|\bdeveloper\b")


def refuses_format(response: httpx.Response) -> bool:
    """Whether the server may not support the requested response format."""
    return _may_be_adapted(response, _FORMAT)


def refuses_system_role(response: httpx.Response, *, certainly: bool) -> bool:
    """Whether the server may not support the system role; `certainly`, if it says so."""
    if certainly and not _ROLES.search(response.text.lower()):
        return False
    return _may_be_adapted(response, _ROLES)


def _may_be_adapted(response: httpx.Response, words: re.Pattern[str]) -> bool:
    """Whether another request may work: after a refusal without a known cause, or by the words."""
    if response.status_code in (400, 422, 501):
        return words.search(response.text.lower()) is not None or _cause(response) is None
    return response.status_code in (404, 500) and words.search(response.text.lower()) is not None


def meaning_of(response: httpx.Response, url: str, model: str) -> EverlineError:
    """The error for an unsuccessful answer."""
    status = response.status_code
    what = f"the summariser at {url} answered {status} for the model {model}{_code(response)}"
    cause = _cause(response)
    if cause:
        return InvalidInput(f"{what}: {cause.sentence}", field=cause.field, cure=cause.cure)
    if status in _WORTH_A_RETRY or status >= 500:
        return Unavailable(what, retry_after=_retry_after(response))
    field, cure = _CURES.get(status, (None, None))
    if 300 <= status < 400:
        field, cure = "SUMMARISER_BASE_URL", "use the address that it redirects to"
    return InvalidInput(what, field=field, cure=cure)


def _cause(response: httpx.Response) -> _Cause | None:
    if response.status_code in _OVERLOADED:
        return None
    # A page of a proxy, or a server's fault, may hold any word.
    text = (_error_text(response) if response.status_code >= 500 else response.text).lower()
    return next((cause for cause in _CAUSES if re.search(cause.words, text)), None)


def _error_text(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
    except (ValueError, LookupError, TypeError):
        return ""
    return str(error)


def _code(response: httpx.Response) -> str:
    try:
        error: dict[str, Any] = response.json()["error"]
        code = error.get("code") or error.get("type")
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    return f" ({code})" if isinstance(code, str) and _IDENTIFIER.fullmatch(code) else ""


def _retry_after(response: httpx.Response) -> int:
    """Seconds, or a minute if the header is malformed."""
    header = response.headers.get("Retry-After", "")
    if not header.strip():
        return 2
    seconds = retry_after(header, date_of(response))
    return 60 if seconds is None else int(min(max(seconds, 1), _MAX_RETRY_AFTER))
