"""`send_dtmf` and `transfer_call` in a real room, with a caller on a phone line or without."""
# LiveKit leaves the types of its rooms' event handlers open:
# pyright: reportUnknownMemberType=false

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from livekit import api, rtc
from livekit.agents import CloseEvent
from livekit.protocol.room import CreateRoomRequest

from domain.sessions.end_reasons import ReportEnd
from tests.agent.tools.talk import Talk, talking
from tests.fakes.scripted_chat import Call, ScriptedChat
from tests.fakes.sip_service import SipService
from tests.servers import LiveKitServer
from tests.waiting import eventually

DESK = {"name": "desk", "to": "+43123456", "description": "Everything about bills."}
Kind = Literal["agent", "sip", "standard"]
KITCHEN = {"name": "kitchen", "to": "sip:kitchen@example.com"}


@dataclass
class Line:
    """The agent's end of a room with a caller in it, and the keys that the caller hears."""

    room: rtc.Room
    keys: list[str]


@asynccontextmanager
async def call(server: LiveKitServer, kind: Kind) -> AsyncGenerator[Line]:
    """A room with an agent and a caller of this kind."""
    name = f"tools-{uuid.uuid4().hex[:8]}"
    agent, caller = rtc.Room(), rtc.Room()
    line = Line(agent, [])

    def received(key: rtc.SipDTMF) -> None:
        line.keys.append(key.digit)

    caller.on("sip_dtmf_received", received)
    async with api.LiveKitAPI(server.api_url, server.api_key, server.api_secret) as livekit:
        await livekit.room.create_room(CreateRoomRequest(name=name))
    try:
        ends: list[tuple[rtc.Room, str, Kind]] = [
            (agent, "agent", "agent"),
            (caller, "caller", kind),
        ]
        for room, identity, of in ends:
            token = api.AccessToken(server.api_key, server.api_secret).with_identity(identity)
            grants = api.VideoGrants(room_join=True, room=name, agent=of == "agent")
            await room.connect(server.url, token.with_kind(of).with_grants(grants).to_jwt())
        await eventually(
            lambda: "caller" in agent.remote_participants and "agent" in caller.remote_participants,
            within=30,
        )
        yield line
    finally:
        await caller.disconnect()
        await agent.disconnect()


@pytest.fixture(scope="module")
async def line(livekit_server: LiveKitServer) -> AsyncGenerator[Line]:
    """A caller on a phone line, whom no test takes away: the SIP service is a fake."""
    async with call(livekit_server, "sip") as found:
        yield found


@asynccontextmanager
async def transferring(
    line: Line, sip: SipService, chat: ScriptedChat, **config: Any
) -> AsyncGenerator[Talk]:
    """A conversation in the room; transfers go to the fake of LiveKit's SIP service."""
    async with api.LiveKitAPI(
        sip.url, "devkey", "a-secret-of-at-least-thirty-two-bytes"
    ) as livekit:
        known = {"tools": ["transfer_call"], "transfer": {"destinations": [DESK, KITCHEN]}}
        async with talking(chat, known | config, room=line.room, livekit=lambda: livekit) as talk:
            yield talk


async def test_keys_are_pressed_in_order_and_heard_on_the_line(line: Line) -> None:
    async with (
        ScriptedChat([Call("send_dtmf", {"digits": "12 #a"})]) as chat,
        talking(chat, {"tools": ["send_dtmf"]}, room=line.room) as talk,
    ):
        await talk.say("Press one, two, hash, A.")
        await eventually(lambda: len(line.keys) == 4, within=30)

        assert line.keys == ["1", "2", "#", "A"]
        assert chat.answers_of_tools() == ["Pressed 12#A."]


async def test_what_is_no_key_is_told_to_the_model() -> None:
    async with (
        ScriptedChat([Call("send_dtmf", {"digits": "call 5"})]) as chat,
        talking(chat, {"tools": ["send_dtmf"]}) as talk,
    ):
        await talk.say("Press five.")

        assert chat.answers_of_tools() == ["digits must be 1 to 32 of 0-9, *, #, A-D and w"]


@pytest.mark.parametrize(
    ("destination", "to"), [("desk", "tel:+43123456"), ("kitchen", "sip:kitchen@example.com")]
)
async def test_a_caller_on_the_phone_is_transferred_and_the_agents_part_ends(
    line: Line, destination: str, to: str
) -> None:
    closed: list[CloseEvent] = []
    async with (
        SipService() as sip,
        ScriptedChat([Call("transfer_call", {"destination": destination})]) as chat,
        transferring(line, sip, chat) as talk,
    ):
        talk.session.on("close", closed.append)
        await talk.say("Connect me, please.")
        await eventually(lambda: bool(closed), within=30)

        [transfer] = sip.transfers
        assert (transfer.room_name, transfer.participant_identity) == (line.room.name, "caller")
        assert transfer.transfer_to == to
        assert talk.ending.reason is ReportEnd.TRANSFERRED
        offered = chat.offered(0)["transfer_call"]
        assert "Everything about bills." in offered["description"]
        assert offered["parameters"]["properties"]["destination"]["enum"] == ["desk", "kitchen"]
        # The model is not asked for more words.
        assert len(chat.requests) == 1


async def test_a_caller_on_the_web_gets_a_clear_answer(livekit_server: LiveKitServer) -> None:
    async with (
        call(livekit_server, "standard") as line,
        SipService() as sip,
        ScriptedChat([Call("transfer_call", {"destination": "desk"})]) as chat,
        transferring(line, sip, chat) as talk,
    ):
        await talk.say("Connect me, please.")

        assert "not on a phone line" in chat.answers_of_tools()[0]
        assert talk.said()[-1] == "Fine."
        assert sip.transfers == []
        assert not talk.ending.decided


@pytest.mark.parametrize("how", ["refuses", "fails"])
async def test_a_transfer_that_does_not_work_keeps_the_caller(
    line: Line, how: Literal["refuses", "fails"]
) -> None:
    async with (
        SipService(how=how) as sip,
        ScriptedChat([Call("transfer_call", {"destination": "desk"})]) as chat,
        transferring(line, sip, chat) as talk,
    ):
        await talk.say("Connect me, please.")

        assert chat.answers_of_tools() == [
            "the transfer to desk did not work; the caller is still with you"
        ]
        assert talk.said()[-1] == "Fine."
        assert not talk.ending.decided


async def test_only_configured_destinations_are_called(line: Line) -> None:
    async with (
        SipService() as sip,
        ScriptedChat([Call("transfer_call", {"destination": "+19005550100"})]) as chat,
        transferring(line, sip, chat) as talk,
    ):
        await talk.say("Connect me to plus one nine hundred.")

        assert chat.answers_of_tools() == ["destination must be one of: desk, kitchen"]
        assert sip.transfers == []
