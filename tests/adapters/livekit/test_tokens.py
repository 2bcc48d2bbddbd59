"""The caller's token opens one room with a microphone, and nothing else, on a real LiveKit."""

import datetime
import time
import uuid
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Self

import jwt
import pytest
from livekit import api, rtc

from adapters.livekit.rooms import LiveKitRooms
from adapters.livekit.tokens import BACKDATED, caller_token
from tests.servers import LiveKitServer

SECRET = "a-secret-of-at-least-32-characters"


def claims_of(token: str) -> dict[str, object]:
    return jwt.decode(token, SECRET, algorithms=["HS256"])


def test_it_grants_one_room_one_identity_and_a_microphone() -> None:
    token = caller_token(
        "key",
        SECRET,
        room="acme.room",
        identity="caller-1",
        ttl_seconds=90,
        name="Anna",
        attributes={"plan": "gold"},
    )

    claims = claims_of(token)
    assert claims["video"] == {
        "roomJoin": True,
        "room": "acme.room",
        "roomCreate": False,
        "roomAdmin": False,
        "canPublish": True,
        "canPublishSources": ["microphone"],
        "canSubscribe": True,
        "canPublishData": True,
        "canUpdateOwnMetadata": False,
    }
    assert (claims["sub"], claims["iss"], claims["name"]) == ("caller-1", "key", "Anna")
    assert claims["attributes"] == {"plan": "gold"}
    left = int(str(claims["exp"])) - time.time()
    assert 80 < left <= 90
    assert int(str(claims["exp"])) - int(str(claims["nbf"])) == 90 + BACKDATED.total_seconds()


@pytest.mark.parametrize(("room", "identity"), [("", "caller"), ("acme.room", "")])
def test_a_token_for_any_room_or_nobody_is_not_made(room: str, identity: str) -> None:
    with pytest.raises(ValueError, match="identity and room"):
        caller_token("key", SECRET, room=room, identity=identity, ttl_seconds=60)


@pytest.fixture
async def open_room(livekit_server: LiveKitServer) -> AsyncGenerator[str]:
    name = f"org.{uuid.uuid4().hex}"
    key, secret = livekit_server.api_key, livekit_server.api_secret
    async with LiveKitRooms(livekit_server.url, key, secret) as rooms:
        await rooms.create(name, "", 60, 60)
        yield name
        await rooms.delete(name)


async def test_livekit_lets_the_holder_in_and_refuses_what_is_not_granted(
    livekit_server: LiveKitServer, open_room: str
) -> None:
    key, secret = livekit_server.api_key, livekit_server.api_secret
    token = caller_token(key, secret, room=open_room, identity="caller", ttl_seconds=60)
    room = rtc.Room()
    await room.connect(livekit_server.url, token)
    try:
        assert room.name == open_room
        audio = rtc.LocalAudioTrack.create_audio_track("voice", rtc.AudioSource(48_000, 1))
        microphone = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        published = await room.local_participant.publish_track(audio, microphone)
        assert published.sid
    finally:
        await room.disconnect()

    async with api.LiveKitAPI.with_token(token, livekit_server.api_url, failover=False) as caller:
        with pytest.raises(api.ServerError):
            await caller.room.list_rooms(api.ListRoomsRequest())  # pyright: ignore[reportPrivateImportUsage] - a lazy re-export
        with pytest.raises(api.ServerError):
            await caller.agent_dispatch.list_dispatch(open_room)


async def test_a_livekit_that_is_behind_accepts_callers_and_the_api(
    livekit_server: LiveKitServer, open_room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clock is ten minutes behind this process's, which is the same as ours being ahead."""

    class Ahead(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Self:
            return super().now(tz) + datetime.timedelta(minutes=10)

    its = SimpleNamespace(datetime=Ahead, timezone=datetime.timezone, timedelta=datetime.timedelta)
    monkeypatch.setattr("livekit.api.access_token.datetime", its)
    url, key, secret = livekit_server.url, livekit_server.api_key, livekit_server.api_secret

    async with api.LiveKitAPI(livekit_server.api_url, key, secret, failover=False) as plain:
        with pytest.raises(api.ServerError) as refused:
            await plain.agent_dispatch.list_dispatch(open_room)
    assert refused.value.status == 401, "LiveKit's own library is refused"

    async with LiveKitRooms(url, key, secret) as rooms:
        assert [room.name for room in await rooms.list_rooms([open_room])] == [open_room]
        assert await rooms.dispatches(open_room) == []
    room = rtc.Room()
    token = caller_token(key, secret, room=open_room, identity="caller", ttl_seconds=60)
    await room.connect(url, token)
    await room.disconnect()


async def test_livekit_refuses_an_expired_token(
    livekit_server: LiveKitServer, open_room: str
) -> None:
    key, secret = livekit_server.api_key, livekit_server.api_secret
    token = caller_token(key, secret, room=open_room, identity="caller", ttl_seconds=-300)
    room = rtc.Room()
    with pytest.raises(rtc.ConnectError):
        await room.connect(livekit_server.url, token)
