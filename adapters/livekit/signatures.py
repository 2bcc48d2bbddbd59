"""Signatures of request bodies as LiveKit makes them: a JWT with the body's SHA-256 as a claim.

LiveKit signs its webhooks this way, and agent servers sign their heartbeats. A purpose in the
claims tells the two apart.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt
from livekit import api

from domain.errors import Unauthenticated

HEARTBEAT = "everline.heartbeat"
"""Purpose of an agent server's heartbeat."""
WEBHOOK = ""
"""LiveKit itself sets no purpose."""

LIFETIME = timedelta(seconds=30)
"""How long our own signatures are valid: a replayed heartbeat must not revive a dead server."""
CLOCK_SKEW = timedelta(seconds=60)
"""How far the clocks of LiveKit, agents and API may differ."""


def sign_body(api_key: str, api_secret: str, body: bytes, purpose: str) -> str:
    """The `Authorization` header's value for a request with this body."""
    token = api.AccessToken(api_key, api_secret).with_sha256(_digest(body)).with_ttl(LIFETIME)
    return token.with_metadata(purpose).to_jwt()


def verify_body(keys: Mapping[str, str], authorization: str, body: bytes, purpose: str) -> str:
    """Return the name of the key that signed exactly this body, unparsed, for this purpose.

    `keys` are secrets by key name, and `authorization` is the header, with or without `Bearer `.

    Raises:
        Unauthenticated: the signature is missing, invalid, expired, or of another body or purpose.
    """
    claims = verify_token(keys, authorization, purpose)
    signed = claims.get("sha256")
    if not isinstance(signed, str) or not hmac.compare_digest(
        signed.encode(), _digest(body).encode()
    ):
        raise _refused("the signature is of another body")
    return str(claims["iss"])


def verify_token(keys: Mapping[str, str], authorization: str, purpose: str) -> dict[str, Any]:
    """The claims of a signature for this purpose, before its body is known; see `verify_body`."""
    token = authorization.removeprefix("Bearer ").strip()
    if not token:
        raise _refused("the request is not signed")
    claims = _claims(keys, token)
    if claims.get("metadata", "") != purpose:
        raise _refused("the signature is for something else")
    return claims


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
            leeway=CLOCK_SKEW,
            options={"require": ["exp", "iss"]},
        )
    except jwt.ExpiredSignatureError:
        raise _refused("the signature has expired", "check the clocks of both machines") from None
    except jwt.PyJWTError:
        raise _refused("the signature is not valid") from None


def _refused(problem: str, cure: str | None = None) -> Unauthenticated:
    return Unauthenticated(problem, field="Authorization", cure=cure)


def _digest(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()
