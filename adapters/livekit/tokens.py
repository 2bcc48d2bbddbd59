"""The caller's token: one room, one identity, a microphone, and nothing else."""

from collections.abc import Mapping
from datetime import timedelta

from livekit import api


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
    return token.to_jwt()
