"""Types of single values that settings share; each error says what is expected."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

WEB = ("https", "http")
_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f]")


def url_of(url: str, schemes: Sequence[str] = WEB) -> str:
    """A URL of scheme, host, port and path without a trailing slash; else `ValueError`."""
    if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        *others, last = (f"{scheme}://" for scheme in schemes)
        raise ValueError(f"must start with {', '.join(others)} or {last}")
    parts = urlsplit(url)
    try:
        is_port = parts.port != 0
    except ValueError:
        is_port = False
    if _SPACE_OR_CONTROL.search(url) or not parts.hostname or not is_port:
        raise ValueError("must name a host, and a port as a number if it names one")
    if parts.query or parts.fragment:
        raise ValueError("must have no ? and no #: paths are appended to it")
    return url.rstrip("/")


def _sendable(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+( +[!-~]+)*", secret.get_secret_value()):
        raise ValueError("must be printable ASCII: it is sent in a header")
    return secret


WebUrl = Annotated[str, AfterValidator(url_of)]
"""Base URL of an HTTP server, without a trailing slash."""

LiveKitUrl = Annotated[str, AfterValidator(partial(url_of, schemes=("wss", "ws", "https", "http")))]
"""URL of a LiveKit server, without a trailing slash."""

HeaderSecret = Annotated[SecretStr, AfterValidator(_sendable)]
"""A secret that is sent in a header."""
