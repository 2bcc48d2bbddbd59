"""The caller knows whose voice it hears."""

from livekit import api
from livekit.protocol.room import CreateRoomRequest

from stack.demo.caller import Caller
from stack.demo.lines import SPEECH
from tests.servers import LiveKitServer
from tests.waiting import eventually

RECORDING = SPEECH / "5-goodbye.wav"


async def joined(livekit: LiveKitServer, identity: str) -> Caller:
    token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity(identity)
    grants = api.VideoGrants(room_join=True, room="voices")
    caller = Caller()
    await caller.connect(livekit.url, token.with_grants(grants).to_jwt())
    return caller


async def test_the_sound_of_a_speaker_is_not_credited_to_an_earlier_one(
    livekit_server: LiveKitServer,
) -> None:
    keys = livekit_server.api_key, livekit_server.api_secret
    async with api.LiveKitAPI(livekit_server.api_url, *keys) as lk:
        await lk.room.create_room(CreateRoomRequest(name="voices", empty_timeout=60))
    listener = await joined(livekit_server, "listener")
    heard = listener.heard
    try:
        for identity in ("first", "second", "third"):
            speaker = await joined(livekit_server, identity)
            await speaker.wait_until_heard(30)
            begun = heard.now()
            await speaker.play(RECORDING)
            await eventually(lambda since=begun: heard.speech_seconds(since) > 0.3, 30)
            assert {frame.identity for frame in heard.speech(begun)} == {identity}
            await speaker.disconnect()
            left = identity
            await eventually(lambda gone=left: gone not in listener.room.remote_participants, 30)
    finally:
        await listener.disconnect()
