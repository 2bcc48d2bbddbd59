"""The callback token: proves that a callback comes from the agent of one attempt of one session.

An HMAC over {org, session, attempt, expiry}: deterministic, so an activity's retry sends the same
one, and self-contained, so the API finds the workflow without a look-up.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from domain.errors import Forbidden, Unauthenticated
from domain.ids import Id, SessionKey

PREFIX = "evcb_"


class CallbackClaims(BaseModel):
    """Whom a callback token speaks for."""

    org: Id
    session_id: Id
    attempt: int
    expires: int
    """Unix time in seconds."""

    @property
    def key(self) -> SessionKey:
        """The session that the token is for."""
        return SessionKey(self.org, self.session_id)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signature(secret: str, body: str) -> bytes:
    return hmac.new(secret.encode(), f"{PREFIX}{body}".encode(), hashlib.sha256).digest()


def mint(secret: str, claims: CallbackClaims) -> str:
    """The token for these claims, about 200 ASCII characters."""
    body = _encode(json.dumps(claims.model_dump(), sort_keys=True).encode())
    return f"{PREFIX}{body}.{_encode(_signature(secret, body))}"


def verify(secret: str, token: str, now: float, older: Iterable[str] = ()) -> CallbackClaims:
    """The claims of a genuine token that has not expired at `now` (Unix time, seconds).

    `older` are secrets that have signed tokens before `secret`.

    Raises:
        Unauthenticated: not one of our tokens, or its signature is wrong.
        Forbidden: genuine, but expired.
    """
    refused = Unauthenticated("the callback token is not valid", field="Authorization")
    body, _, signature = token.removeprefix(PREFIX).partition(".")
    if not token.startswith(PREFIX) or not token.isascii():
        raise refused
    try:
        given = _decode(signature)
        if not any(hmac.compare_digest(given, _signature(s, body)) for s in (secret, *older)):
            raise refused
        payload: dict[str, Any] = json.loads(_decode(body))
        claims = CallbackClaims.model_validate(payload)
    except (ValueError, ValidationError):
        raise refused from None
    if claims.expires <= now:
        raise Forbidden("the callback token has expired", field="Authorization")
    return claims
