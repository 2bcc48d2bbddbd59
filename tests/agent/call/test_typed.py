"""What a caller types over LiveKit is bounded, whatever is sent."""
# LiveKit leaves the types of its rooms' event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
from livekit import api, rtc
from livekit.protocol.room import CreateRoomRequest

from agent.call import typed
from agent.call.typed import TypedText
from tests.harness.call import CHAT_TOPIC
from tests.servers import LiveKitServer
from tests.waiting import eventually


class Chat:
    """A caller, and what an agent reads of their messages."""

    def __init__(self, agent: rtc.Room, caller: rtc.Room) -> None:
        self.caller = caller.local_participant
        self.heard = 0
        self.text = TypedText(lambda identity: identity == "caller", self._hear)
        agent.register_text_stream_handler(CHAT_TOPIC, self.text.stream)

    def _hear(self) -> None:
        self.heard += 1

    async def send(self, text: str) -> None:
        await self.caller.send_text(text, topic=CHAT_TOPIC)

    async def read(self, messages: int) -> None:
        await eventually(lambda: self.heard >= messages, 30, f"{messages} messages")


@pytest.fixture
async def chat(livekit_server: LiveKitServer) -> AsyncGenerator[Chat]:
    server, name = livekit_server, f"typed-{uuid.uuid4().hex[:8]}"
    rooms = (rtc.Room(), rtc.Room())
    async with api.LiveKitAPI(server.api_url, server.api_key, server.api_secret) as livekit:
        await livekit.room.create_room(CreateRoomRequest(name=name))
    try:
        for room, identity in zip(rooms, ("agent", "caller"), strict=True):
            token = api.AccessToken(server.api_key, server.api_secret)
            grants = api.VideoGrants(room_join=True, room=name)
            await room.connect(
                server.url, token.with_identity(identity).with_grants(grants).to_jwt()
            )
        yield Chat(*rooms)
    finally:
        for room in rooms:
            await room.disconnect()


async def test_messages_that_wait_are_taken_together(chat: Chat) -> None:
    for number, text in enumerate(("A table", "  ", "for four"), start=1):
        await chat.send(text)
        await chat.read(number - (number > 1))
    await chat.read(2)

    assert chat.text.take() == "A table\nfor four"
    assert chat.text.take() is None
    waiting = asyncio.create_task(chat.text.next())
    await chat.send("please")
    assert await waiting == "please"


async def test_a_long_message_is_cut(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed, "MESSAGE_CHARS", 20_000)
    await chat.send("x" * 200_000)
    await chat.read(1)

    assert chat.text.take() == "x" * 20_000


async def test_all_messages_together_are_limited(chat: Chat) -> None:
    chat.text._left = 15  # pyright: ignore[reportPrivateUsage] - instead of half a million
    for number in (1, 2):
        await chat.send("ten chars.")
        await chat.read(number)

    assert chat.text.take() == "ten chars.\nten c"


async def test_messages_that_never_end_are_limited_in_time_and_number(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typed, "MESSAGE_SECONDS", 3.0)
    monkeypatch.setattr(typed, "AT_ONCE", 2)
    writers: list[rtc.TextStreamWriter] = []
    for number in range(3):
        writer = await chat.caller.stream_text(topic=CHAT_TOPIC)
        await writer.write(f"message {number}")
        writers.append(writer)
    await chat.read(2)

    assert chat.text.take() == "message 0\nmessage 1"
    for writer in writers:
        with suppress(Exception):
            await writer.aclose()
