"""The listener in rooms of a real LiveKit server, with agents and callers who send streams."""

# The SDK leaves the types of its sources and tracks open:
# pyright: reportUnknownMemberType=false
import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from livekit import api, rtc
from pydantic import SecretStr

from adapters.livekit import listener
from adapters.livekit.listener import TOPIC, LiveKitListener
from adapters.livekit.rooms import LiveKitRooms
from adapters.livekit.segments import FINAL, SEGMENT, TRACK
from adapters.settings import LiveKitSettings
from domain.transcripts.listening import Heard, listener_identity
from tests.servers import LiveKitServer
from tests.waiting import eventually

AGENT, CALLER = "agent-AJ_1", "caller"
INTERIM, DONE = {FINAL: "false"}, {FINAL: "true"}


@asynccontextmanager
async def participant(
    server: LiveKitServer, room: str, identity: str, kind: api.AccessToken.ParticipantKind
) -> AsyncGenerator[rtc.LocalParticipant]:
    """Somebody in the room for the block."""
    token = api.AccessToken(server.api_key, server.api_secret).with_identity(identity)
    grants = api.VideoGrants(room_join=True, room=room, agent=kind == "agent")
    connection = rtc.Room()
    await connection.connect(server.url, token.with_kind(kind).with_grants(grants).to_jwt())
    try:
        yield connection.local_participant
    finally:
        await connection.disconnect()


@dataclass
class Scene:
    """A listener, an agent and a caller in one room."""

    agent: rtc.LocalParticipant
    caller: rtc.LocalParticipant
    agent_leaves: AsyncExitStack
    heard: list[Heard] = field(default_factory=list[Heard])

    async def said(self, count: int) -> list[tuple[str, str, bool]]:
        """Role, text and interruption of the first segments, as soon as there are so many."""
        await eventually(lambda: len(self.heard) >= count, what=f"{count} segments")
        return [(one.role.value, one.text, one.interrupted) for one in self.heard]


@pytest.fixture
async def scene(livekit_server: LiveKitServer) -> AsyncGenerator[Scene]:
    server, room = livekit_server, f"org.{uuid.uuid4().hex}"
    settings = LiveKitSettings(
        livekit_url=server.url,
        livekit_api_key=server.api_key,
        livekit_api_secret=SecretStr(server.api_secret),
    )
    async with (
        LiveKitRooms.of(settings) as rooms,
        AsyncExitStack() as agent_leaves,
    ):
        await rooms.create(room, "", 120, 60)
        agent = await agent_leaves.enter_async_context(participant(server, room, AGENT, "agent"))
        async with (
            participant(server, room, CALLER, "standard") as caller,
            LiveKitListener(settings).listen(room, listener_identity(1), AGENT) as segments,
        ):
            scene = Scene(agent, caller, agent_leaves)

            async def listen() -> None:
                async for segment in segments:
                    scene.heard.append(segment)

            listening = asyncio.create_task(listen())
            yield scene
            await agent_leaves.aclose()
            await listening


async def send(
    sender: rtc.LocalParticipant,
    text: str,
    attributes: dict[str, str],
    *,
    closing: dict[str, str] | None = None,
    as_identity: str | None = None,
) -> None:
    """Send a transcription stream, in the name of another one if an agent sends it."""
    writer = await sender.stream_text(
        topic=TOPIC, attributes=attributes, sender_identity=as_identity
    )
    await writer.write(text)
    await writer.aclose(attributes=closing)


async def microphone(participant: rtc.LocalParticipant) -> str:
    """Publish a microphone; returns the track's sid."""
    track = rtc.LocalAudioTrack.create_audio_track("microphone", rtc.AudioSource(48_000, 1))
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    return (await participant.publish_track(track, options)).sid


async def test_the_turns_of_an_agent_of_the_node_sdk_are_heard_as_they_are_said(
    scene: Scene,
) -> None:
    await send(scene.agent, "Hello.", {SEGMENT: "SG_1"} | INTERIM)
    assert await scene.said(1) == [("assistant", "Hello.", False)]

    for text, mark in (("A table", INTERIM), ("A table for two.", DONE)):
        await send(scene.agent, text, {SEGMENT: "SG_2"} | mark, as_identity=CALLER)
    assert (await scene.said(2))[1:] == [("user", "A table for two.", False)]


async def test_an_agent_of_the_python_sdk_is_heard_once(scene: Scene) -> None:
    await send(scene.agent, "Hello.", {SEGMENT: "SG_1"} | INTERIM, closing=DONE)
    await send(scene.agent, "Bye.", {SEGMENT: "SG_2"} | INTERIM, closing=DONE)

    assert await scene.said(2) == [("assistant", "Hello.", False), ("assistant", "Bye.", False)]


async def test_the_callers_words_in_the_agents_name_are_the_callers(scene: Scene) -> None:
    callers, agents = await microphone(scene.caller), await microphone(scene.agent)
    await send(scene.agent, "Hello.", {SEGMENT: "SG_1", TRACK: agents})
    # The listener learns of a track by another connection than of a stream.
    await scene.said(1)
    await send(scene.agent, "A table", {SEGMENT: "SG_2", TRACK: callers} | INTERIM)
    await send(scene.agent, "A table for two.", {SEGMENT: "SG_2", TRACK: callers} | DONE)

    assert (await scene.said(2)) == [
        ("assistant", "Hello.", False),
        ("user", "A table for two.", False),
    ]


async def test_a_caller_cannot_speak_for_the_agent(scene: Scene) -> None:
    agents = await microphone(scene.agent)
    forged = {SEGMENT: "SG_1", TRACK: agents} | DONE
    await send(scene.caller, "It is free.", forged, as_identity=AGENT)
    await scene.said(1)
    await send(scene.agent, "That is 90 euros.", {SEGMENT: "SG_1", TRACK: agents} | DONE)

    assert await scene.said(2) == [
        ("user", "It is free.", False),
        ("assistant", "That is 90 euros.", False),
    ]
    assert len({one.turn(1).item_id for one in scene.heard}) == 2


async def test_what_the_agent_says_as_it_leaves_is_interrupted(scene: Scene) -> None:
    writer = await scene.agent.stream_text(topic=TOPIC, attributes={SEGMENT: "SG_1"} | INTERIM)
    await writer.write("Good")
    await send(scene.agent, "Hello.", {SEGMENT: "SG_2"})
    await scene.said(1)
    await scene.agent_leaves.aclose()

    assert (await scene.said(2))[1:] == [("assistant", "Good", True)]


async def test_only_so_many_streams_are_read_at_the_same_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MOST_STREAMS", 2)
    flood = [await scene.caller.stream_text(topic=TOPIC, attributes=DONE) for _ in range(3)]
    for number, writer in enumerate(flood):
        await writer.write(f"stream {number}")
    await send(scene.agent, "I hear you.", DONE)
    assert await scene.said(1) == [("assistant", "I hear you.", False)]
    for writer in flood:
        await writer.aclose()
    assert sorted(text for _, text, _ in (await scene.said(3))[1:]) == ["stream 0", "stream 1"]

    await send(scene.caller, "One by one.", DONE)
    assert (await scene.said(4))[3:] == [("user", "One by one.", False)]
