"""What is heard, seen and passed on beside the words; each field by its effect."""
# The SDK leaves the types of a room's event handlers open:
# pyright: reportUnknownMemberType=false

import array
import asyncio
import random
import wave
from pathlib import Path
from statistics import median
from typing import Any

import jwt
import pytest
from livekit import api, rtc
from livekit.agents import Agent, AgentSession, RunResult, function_tool
from livekit.agents.utils import http_context
from livekit.plugins import openai

from adapters.settings import AgentSettings
from agent.engines.parts import EngineFault
from agent.sound.avatar import SpeakingAvatar
from agent.sound.background import BackgroundSounds
from domain.agents.config import AgentConfig, Avatar, ConversationStart, Engine
from domain.agents.sound_config import BackgroundAudio
from stack.demo.caller import Caller
from tests.agent.engines.providers.accounts import KEY, Fakes
from tests.agent.live import (
    BOOK_A_TABLE,
    GREETING,
    LiveSession,
    live_session,
)
from tests.fakes.providers import cartesia
from tests.fakes.providers.provider import Mishap
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)

ENGINE = Engine(
    stt="deepgram/nova-3",
    llm="openai/gpt-4.1-mini",
    tts=f"cartesia/sonic-3:{cartesia.VOICE}",
)
GREETS = ConversationStart(who="ai", greeting=GREETING)
NOISE_LEVEL = 0.045
AUDIBLE = 0.002
"""Level above which something is played, however softly."""


async def listening(session: LiveSession, **config: Any) -> Caller:
    """A caller whom the agent hears."""
    session.config = AgentConfig(engine=ENGINE, **config)
    await session.dispatch()
    caller = await session.call()
    await session.wait_until_claimed()
    await caller.wait_until_heard(30)
    return caller


async def report(session: LiveSession) -> dict[str, Any]:
    await session.ask_to_finish("end_requested")
    await session.callbacks.wait_for(lambda: bool(session.callbacks.reports))
    return session.callbacks.reports[0]


def has_track(caller: Caller) -> bool:
    present = caller.room.remote_participants.values()
    return any(one.track for each in present for one in each.track_publications.values())


def audible_seconds(caller: Caller) -> float:
    return sum(frame.seconds for frame in caller.heard.frames if frame.level >= AUDIBLE)


def noise(path: Path) -> Path:
    """Two and a half seconds of noise, as of a fan."""
    generator = random.Random(7)
    loud = NOISE_LEVEL * 32_768
    samples = array.array("h", (int(generator.gauss(0, loud)) for _ in range(60_000)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(samples.tobytes())
    return path


def repeated(recording: Path, times: int, path: Path) -> Path:
    """The same sentence again and again, with pauses that end no turn."""
    with wave.open(str(recording), "rb") as once, wave.open(str(path), "wb") as file:
        file.setparams(once.getparams())
        file.writeframes(once.readframes(once.getnframes()) * times)
    return path


async def loudness_of_noise(
    session: LiveSession, fakes: Fakes, recording: Path, **config: Any
) -> float:
    """How loud the noise is that reaches speech recognition."""

    def loud() -> list[float]:
        return [each for each in fakes.deepgram.loudness if each > 0.002]

    caller = await listening(session, **config)
    try:
        fakes.deepgram.loudness.clear()
        await caller.play(recording)
        await eventually(lambda: len(loud()) >= 20, 30, "a second of noise has arrived")
        await report(session)
    finally:
        await caller.disconnect()
    # Not the mean: pieces at the edges of a gap in the sound are half empty.
    return median(loud())


async def test_noise_cancellation_takes_noise_out_of_what_is_recognised(
    session: LiveSession, fakes: Fakes, tmp_path: Path
) -> None:
    recording = noise(tmp_path / "noise.wav")
    plain = await loudness_of_noise(session, fakes, recording)
    assert plain > 0.9 * NOISE_LEVEL
    async with live_session(session.livekit, session.worker, f"{session.session_id}b") as second:
        wanted = {"enabled": True, "type": "bvc"}
        filtered = await loudness_of_noise(second, fakes, recording, noise_cancellation=wanted)
        [otherwise] = second.callbacks.reports[0]["configured_otherwise"]

    assert filtered < 0.75 * NOISE_LEVEL
    assert otherwise["field"] == "noise_cancellation.type"
    assert "not installed here; 'local' is used" in otherwise["reason"]


async def test_an_ambience_is_heard_while_nobody_speaks(session: LiveSession, fakes: Fakes) -> None:
    background = {"ambient": {"clip": "crowded-room", "volume": 1.0}, "tool_call": "no such clip"}
    caller = await listening(session, background_audio=background)
    try:
        await eventually(lambda: audible_seconds(caller) > 1.0, within=30)
        handed_in = await report(session)
    finally:
        await caller.disconnect()

    assert fakes.cartesia.spoken == []
    assert [each["field"] for each in handed_in["configured_otherwise"]] == [
        "background_audio.tool_call"
    ]


@pytest.mark.parametrize("ahead", [True, False])
async def test_preemptive_generation_asks_before_the_caller_has_finished(
    session: LiveSession, fakes: Fakes, tmp_path: Path, ahead: bool
) -> None:
    fakes.script.early = True
    # Whoever has to be asked first needs time for that.
    speech = repeated(BOOK_A_TABLE, 3, tmp_path / "long.wav") if ahead else BOOK_A_TABLE
    caller = await listening(session, preemptive_generation=ahead)
    try:
        speaking = asyncio.create_task(caller.play(speech))
        await fakes.openai.wait_for(lambda: bool(fakes.openai.at("/chat/completions")))
        assert speaking.done() is not ahead
        await speaking
        await caller.wait_until_agent_spoke(caller.heard.now(), within=30)
    finally:
        await caller.disconnect()

    assert fakes.cartesia.said() == "For which day?"


async def test_an_avatar_joins_and_is_given_the_agents_speech(
    session: LiveSession, fakes: Fakes
) -> None:
    avatar = {
        "enabled": True,
        "provider": "anam",
        "avatar_participant_name": "Cara",
        "anam": {"apiKey": KEY, "avatarId": "av_1", "name": "Cara at the desk"},
    }
    caller = await listening(session, avatar=avatar, conversation_start=GREETS)
    screen = rtc.Room()
    heard = asyncio.Event()

    def listen(reader: rtc.ByteStreamReader, identity: str) -> None:
        heard.set()

    screen.register_byte_stream_handler("lk.audio_stream", listen)
    try:
        await fakes.anam.wait_for(lambda: bool(fakes.anam.seen))
        [asked] = fakes.anam.seen
        place = asked.body["environment"]
        await screen.connect(place["livekitUrl"], place["livekitToken"])
        source = rtc.VideoSource(64, 64)
        picture = rtc.LocalVideoTrack.create_video_track("avatar", source)
        await screen.local_participant.publish_track(picture)
        async with asyncio.timeout(30):
            await heard.wait()
    finally:
        await screen.disconnect()
        await caller.disconnect()

    persona = asked.body["personaConfig"]
    assert (persona["avatarId"], persona["name"]) == ("av_1", "Cara at the desk")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert place["livekitUrl"] == session.livekit.url
    claims = jwt.decode(place["livekitToken"], session.livekit.api_secret, algorithms=["HS256"])
    assert claims["name"] == "Cara"
    assert claims["video"].items() >= {"roomJoin": True, "room": session.room}.items()
    assert fakes.cartesia.said() == GREETING


async def test_when_its_avatar_leaves_the_agent_speaks_itself(
    session: LiveSession, fakes: Fakes
) -> None:
    avatar = {"enabled": True, "anam": {"avatarId": "av_1"}}
    caller = await listening(session, avatar=avatar, conversation_start=GREETS)
    screen = rtc.Room()
    heard = asyncio.Event()

    def listen(reader: rtc.ByteStreamReader, identity: str) -> None:
        heard.set()

    screen.register_byte_stream_handler("lk.audio_stream", listen)
    try:
        await fakes.anam.wait_for(lambda: bool(fakes.anam.seen))
        place = fakes.anam.seen[0].body["environment"]
        await screen.connect(place["livekitUrl"], place["livekitToken"])
        picture = rtc.LocalVideoTrack.create_video_track("avatar", rtc.VideoSource(64, 64))
        await screen.local_participant.publish_track(picture)
        async with asyncio.timeout(30):
            await heard.wait()
        # In mid-sentence, and without a word of how far it has spoken.
        await screen.disconnect()
        await session.callbacks.wait_for(lambda: len(session.callbacks.turns) == 1)
        asked = caller.heard.now()
        await caller.play(BOOK_A_TABLE)
        await caller.wait_until_agent_spoke(asked, within=60)
        handed_in = await report(session)
    finally:
        await screen.disconnect()
        await caller.disconnect()

    assert handed_in["turns"][-1]["role"] == "assistant"
    [otherwise] = handed_in["configured_otherwise"]
    assert otherwise == {
        "field": "avatar",
        "reason": "it left during the call; the agent speaks without it",
    }


async def test_without_its_avatar_the_agent_speaks_itself(
    session: LiveSession, fakes: Fakes
) -> None:
    fakes.anam.mishap = Mishap(402)
    avatar = {"enabled": True, "anam": {"avatarId": "av_1"}}
    caller = await listening(session, avatar=avatar, conversation_start=GREETS)
    try:
        await caller.wait_until_agent_spoke(0, within=60)
        handed_in = await report(session)
    finally:
        await caller.disconnect()

    [otherwise] = handed_in["configured_otherwise"]
    assert otherwise["field"] == "avatar"
    assert "status 402" in otherwise["reason"]


async def test_an_avatar_that_never_joins_leaves_the_agent_its_voice(
    session: LiveSession, fakes: Fakes
) -> None:
    late, removed = rtc.Room(), asyncio.Event()

    def disconnected(reason: rtc.DisconnectReason.ValueType) -> None:
        assert reason == rtc.DisconnectReason.PARTICIPANT_REMOVED
        removed.set()

    late.on("disconnected", disconnected)
    avatar = {"enabled": True, "anam": {"avatarId": "av_1"}}
    caller = await listening(session, avatar=avatar, conversation_start=GREETS)
    try:
        await caller.wait_until_agent_spoke(0, within=60)
        await session.callbacks.wait_for(lambda: len(session.callbacks.turns) == 1)
        [asked] = fakes.anam.seen
        place = asked.body["environment"]
        await late.connect(place["livekitUrl"], place["livekitToken"])
        async with asyncio.timeout(30):
            await removed.wait()
        handed_in = await report(session)
    finally:
        await late.disconnect()
        await caller.disconnect()

    assert removed.is_set()
    assert [turn["text"] for turn in handed_in["turns"]] == [GREETING]
    [otherwise] = handed_in["configured_otherwise"]
    assert otherwise["field"] == "avatar"
    assert "did not join" in otherwise["reason"]


def test_an_avatar_without_a_key_is_refused() -> None:
    nowhere = "ws://127.0.0.1:9"
    given = {"livekit_url": nowhere, "livekit_api_key": "k", "livekit_api_secret": "s"}
    settings = AgentSettings.model_validate(given)
    config = Avatar.model_validate({"enabled": True, "anam": {"avatarId": "av_1"}})

    with pytest.raises(EngineFault) as refused:
        SpeakingAvatar(config, settings, [])
    assert refused.value.field == "avatar.anam.apiKey"


@pytest.mark.parametrize("place", ["tool_call", "turn_taking"])
async def test_a_sound_is_heard_when_a_tool_works_or_the_agent_takes_its_turn(
    session: LiveSession, fakes: Fakes, place: str
) -> None:
    fakes.script.tool = "look_up"
    heard = asyncio.Event()

    @function_tool
    async def look_up() -> str:
        """Look something up, which takes as long as the test wants."""
        await heard.wait()
        return "found"

    room = rtc.Room()
    token = api.AccessToken(session.livekit.api_key, session.livekit.api_secret)
    grants = api.VideoGrants(room_join=True, room=session.room)
    sounds = BackgroundSounds(BackgroundAudio.model_validate({place: True}))
    caller = await session.call()
    await room.connect(session.livekit.url, token.with_identity("a").with_grants(grants).to_jwt())
    async with http_context.open():
        model = openai.LLM(base_url=f"{fakes.openai.url}/v1", api_key=KEY)
        talk: AgentSession[None] = AgentSession(llm=model, vad=None)
        try:
            await talk.start(Agent(instructions="You look things up.", tools=[look_up]))
            await sounds.start(room, talk)
            # What is played before the caller has the track is heard by nobody.
            await eventually(lambda: has_track(caller), within=30)
            answering: RunResult[None] = talk.run(user_input="Look it up.")
            await eventually(lambda: audible_seconds(caller) > 0.1, within=30)
            heard.set()
            await answering
        finally:
            await sounds.aclose()
            await talk.aclose()
            await model.aclose()
            await caller.disconnect()
            await room.disconnect()
