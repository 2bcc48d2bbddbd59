"""The caller's token: one room, one identity, a microphone, and nothing else."""

from collections.abc import Mapping
from datetime import timedelta

import jwt
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse
from livekit import api

BACKDATED = timedelta(hours=1)
"""Harmless: nobody had the token before it was made."""


def caller_token(
    api_key: str,
    api_secret: str,
    *,
    room: str,
    identity: str,
    ttl_seconds: int,
    name: str | None = None,
    attributes: Mapping[str, str] | None = None,
) -> str:
    """A token that joins one LiveKit room as one participant.

    The holder may hear everybody, send data (text input) and publish a microphone; no camera, no
    screen, no other room, no administration, and no changing of its own name or attributes. A
    second participant with the same identity replaces the first.

    `room` is LiveKit's name of it, and `ttl_seconds` is how long the token can be used to join;
    a running call outlives it.

    Raises:
        ValueError: room or identity is empty.
    """
    grants = api.VideoGrants(
        room_join=True,
        room=room,
        can_publish=True,
        can_publish_sources=["microphone"],
        can_subscribe=True,
        can_publish_data=True,
        can_update_own_metadata=False,
        room_create=False,
        room_admin=False,
    )
    token = (
        api.AccessToken(api_key, api_secret)
        .with_identity(identity)
        .with_grants(grants)
        .with_ttl(timedelta(seconds=ttl_seconds))
    )
    if name:
        token.with_name(name)
    if attributes:
        token.with_attributes(dict(attributes))
    return signed(token)


def signed(token: api.AccessToken) -> str:
    """The token as text, valid from `BACKDATED` ago until its end.

    A LiveKit whose clock is behind would refuse one that is valid from now on.
    """
    return _backdated(token.to_jwt(), token.api_secret)


def backdating(secret: str) -> ClientMiddlewareType:
    """For the HTTP session of livekit-api: each request's token becomes valid as in `signed`."""

    async def send(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        scheme, _, token = request.headers["Authorization"].partition(" ")
        request.headers["Authorization"] = f"{scheme} {_backdated(token, secret)}"
        return await handler(request)

    return send


def _backdated(token: str, secret: str) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    claims["nbf"] -= int(BACKDATED.total_seconds())
    return jwt.encode(claims, secret, "HS256")
