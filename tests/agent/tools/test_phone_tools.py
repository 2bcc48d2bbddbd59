"""`send_dtmf` and `transfer_call` in a real room, with a caller on a phone line or without."""
# LiveKit leaves the types of its rooms' event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from livekit import api, rtc
from livekit.agents import CloseEvent
from livekit.protocol.room import CreateRoomRequest, RoomParticipantIdentity

from agent.tools import call_transfer
from domain.sessions.end_reasons import ReportEnd
from tests.agent.tools.talk import Talk, talking
from tests.fakes.scripted_chat import Call, ScriptedChat
from tests.fakes.sip_service import How, SipService
from tests.servers import LiveKitServer
from tests.waiting import eventually

DESK = {"name": "desk", "to": "+43123456", "description": "Everything about bills."}
Kind = Literal["agent", "sip", "standard"]
KITCHEN = {"name": "kitchen", "to": "sip:kitchen@example.com"}


@dataclass
class Line:
    """The agent's end of a room with a caller in it, and the keys that the caller hears."""

    room: rtc.Room
    caller: rtc.Room
    keys: list[str]

    async def is_left_by_caller(self) -> None:
        """The caller hangs up, and the agent notices."""
        await self.caller.disconnect()
        await self.is_seen_empty()

    async def is_seen_empty(self) -> None:
        """Wait until the agent is alone."""
        await eventually(lambda: not self.room.remote_participants, within=30)


@asynccontextmanager
async def call(server: LiveKitServer, kind: Kind) -> AsyncGenerator[Line]:
    """A room with an agent and a caller of this kind."""
    name = f"tools-{uuid.uuid4().hex[:8]}"
    agent, caller = rtc.Room(), rtc.Room()
    line = Line(agent, caller, [])

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


@pytest.mark.parametrize("how", ["accepts", "times out", "cancels"])
async def test_a_caller_who_leaves_as_an_unconfirmed_transfer_ends_was_transferred(
    livekit_server: LiveKitServer, how: How
) -> None:
    async with call(livekit_server, "sip") as line:
        ending, said = await outcome(line, how, line.caller.disconnect)

    assert ending is ReportEnd.TRANSFERRED
    assert said == []


@pytest.mark.parametrize("how", ["times out", "cancels", "declines", "ended", "succeeds"])
async def test_of_a_caller_who_leaves_before_the_answer_only_the_answer_tells(
    livekit_server: LiveKitServer, how: How, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_transfer, "LEAVE_SECONDS", 0.5)
    async with call(livekit_server, "sip") as line:

        async def hangs_up_long_before() -> None:
            await line.is_left_by_caller()
            # Rounds, because one long pause ends with a stall of the machine.
            for _ in range(15):
                await asyncio.sleep(0.1)

        ending, said = await outcome(line, how, hangs_up_long_before)

    if how == "succeeds":
        assert (ending, said) == (ReportEnd.TRANSFERRED, [])
    else:
        assert ending is None
        assert said == ["the transfer to desk did not work; they have left the call"]


async def test_a_caller_who_hangs_up_before_livekit_answers_at_all_was_not_transferred(
    livekit_server: LiveKitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_transfer, "ANSWER_SECONDS", 4.0)
    monkeypatch.setattr(call_transfer, "LEAVE_SECONDS", 0.0)
    async with call(livekit_server, "sip") as line:
        ending, said = await outcome(line, "is silent", line.is_left_by_caller)

    assert ending is None
    assert said == ["the transfer to desk did not work; they have left the call"]


async def test_a_caller_whose_line_is_lost_was_not_transferred(
    livekit_server: LiveKitServer,
) -> None:
    server = livekit_server
    async with (
        call(server, "sip") as line,
        api.LiveKitAPI(server.api_url, server.api_key, server.api_secret) as livekit,
    ):

        async def lost() -> None:
            of = RoomParticipantIdentity(room=line.room.name, identity="caller")
            await livekit.room.remove_participant(of)

        ending, said = await outcome(line, "times out", lost)

    assert ending is None
    assert said == ["the transfer to desk did not work; they have left the call"]


async def outcome(
    line: Line, how: How, on_transfer: Callable[[], Awaitable[None]]
) -> tuple[ReportEnd | None, list[str]]:
    """How a transfer ends the agent's part, if it does, and what the model is told of it."""
    closed: list[CloseEvent] = []
    async with (
        SipService(how, on_transfer) as sip,
        ScriptedChat([Call("transfer_call", {"destination": "desk"})]) as chat,
        transferring(line, sip, chat) as talk,
    ):
        talk.session.on("close", closed.append)
        await talk.say("Connect me, please.")
        await eventually(lambda: bool(closed or chat.answers_of_tools()), within=60)
        assert len(sip.transfers) == 1
        told = [] if closed else chat.answers_of_tools()
        return talk.ending.reason if talk.ending.decided else None, told


@pytest.mark.parametrize("how", ["refuses", "fails", "declines", "times out", "cancels"])
async def test_a_transfer_that_does_not_work_keeps_the_caller(line: Line, how: How) -> None:
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
