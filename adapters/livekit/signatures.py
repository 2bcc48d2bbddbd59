"""Signatures of request bodies as LiveKit makes them: a JWT with the body's SHA-256 as a claim.

LiveKit signs its webhooks this way, and agent servers sign their heartbeats. A purpose in the
claims tells the two apart.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt

from domain.clocks import ClockSkew
from domain.errors import Unauthenticated

HEARTBEAT = "everline.heartbeat"
"""Purpose of an agent server's heartbeat."""
WEBHOOK = ""
"""LiveKit itself sets no purpose."""

LIFETIME = timedelta(seconds=30)
"""How long our own signatures are valid: a replayed heartbeat must not revive a dead server."""
CLOCK_SKEW = timedelta(seconds=60)
"""How far the clocks of LiveKit, agents and API may differ."""


def sign_body(
    api_key: str, api_secret: str, body: bytes, purpose: str, *, now: float | None = None
) -> str:
    """The `Authorization` header's value for a request with this body.

    `now` is the receiver's Unix time, if it is known to differ from this machine's.
    """
    at = int(time.time() if now is None else now)
    claims = {
        "iss": api_key,
        "nbf": at,
        "exp": at + int(LIFETIME.total_seconds()),
        "sha256": _digest(body),
        "metadata": purpose,
    }
    return jwt.encode(claims, api_secret, "HS256")


def verify_body(
    keys: Mapping[str, str],
    authorization: str,
    body: bytes,
    purpose: str,
    *,
    now: float | None = None,
) -> str:
    """Return the name of the key that signed exactly this body, unparsed, for this purpose.

    `keys` are secrets by key name, and `authorization` is the header, with or without `Bearer `.
    `now` is the signer's Unix time; None for this machine's.

    Raises:
        ClockSkew: the signature is genuine, but of another time than now.
        Unauthenticated: the signature is missing, invalid, or of another body or purpose.
    """
    claims = verify_token(keys, authorization, purpose)
    expires, valid_from = _seconds(claims, "exp"), _seconds(claims, "nbf")
    signed = claims.get("sha256")
    if not isinstance(signed, str) or not hmac.compare_digest(
        signed.encode(), _digest(body).encode()
    ):
        raise _refused("the signature is of another body")
    # Last, so that only a genuine signer learns about clocks.
    _check_times(expires, valid_from, time.time() if now is None else now)
    return str(claims["iss"])


def verify_token(keys: Mapping[str, str], authorization: str, purpose: str) -> dict[str, Any]:
    """The claims of a signature for this purpose, whatever its body and time; see `verify_body`."""
    token = authorization.removeprefix("Bearer ").strip()
    if not token:
        raise _refused("the request is not signed")
    claims = _claims(keys, token)
    for name in ("exp", "nbf"):
        _seconds(claims, name)
    if claims.get("metadata", "") != purpose:
        raise _refused("the signature is for something else")
    if not isinstance(claims.get("sha256"), str):
        # Callers' tokens are signed with the same key, and for no body.
        raise _refused("the signature is of another body")
    return claims


def _check_times(expires: float | None, valid_from: float | None, now: float) -> None:
    leeway = CLOCK_SKEW.total_seconds()
    early = valid_from is not None and valid_from - leeway > now
    late = expires is not None and expires + leeway <= now
    if early or late:
        signed_at = expires if valid_from is None else valid_from
        raise ClockSkew("the signer", (signed_at or 0.0) - now, field="Authorization")


def _seconds(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise _refused("the signature is not valid")


def _claims(keys: Mapping[str, str], token: str) -> dict[str, Any]:
    try:
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        secret = keys.get(issuer) if isinstance(issuer, str) else None
        if secret is None:
            raise _refused("the request is signed with a key that is not known")
        return jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            options={
                "require": ["exp", "iss"],
                # Checked by `_check_times`.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.PyJWTError:
        raise _refused("the signature is not valid") from None


def _refused(problem: str) -> Unauthenticated:
    return Unauthenticated(problem, field="Authorization")


def _digest(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()
