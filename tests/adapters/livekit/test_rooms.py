"""Rooms, participants and dispatches on a real LiveKit server."""

import uuid
from collections.abc import AsyncGenerator

import pytest
from livekit import rtc

from adapters.livekit.errors import LiveKitMisconfigured
from adapters.livekit.rooms import LiveKitRooms
from adapters.livekit.tokens import caller_token
from domain.errors import InvalidInput, NotFound, Unavailable
from domain.sessions.ports import Dispatch
from tests.servers import LiveKitServer, free_port, start_livekit
from tests.waiting import eventually


@pytest.fixture
async def rooms(livekit_server: LiveKitServer) -> AsyncGenerator[LiveKitRooms]:
    async with rooms_of(livekit_server) as rooms:
        yield rooms


@pytest.fixture
def name() -> str:
    return f"org.{uuid.uuid4().hex}"


def rooms_of(server: LiveKitServer, secret: str | None = None) -> LiveKitRooms:
    return LiveKitRooms(server.url, server.api_key, secret or server.api_secret)


async def test_a_room_is_created_listed_and_deleted(rooms: LiveKitRooms, name: str) -> None:
    created = await rooms.create(name, '{"org": "a"}', 120, 60)

    assert created.name == name
    assert created.metadata == '{"org": "a"}'
    assert await rooms.list_rooms([name]) == [created]
    assert created in await rooms.list_rooms()
    assert await rooms.delete(name) is True
    assert await rooms.list_rooms([name]) == []


async def test_a_room_of_somebody_else_comes_back_with_its_own_metadata(
    rooms: LiveKitRooms, name: str
) -> None:
    theirs = await rooms.create(name, "theirs", 120, 60)

    ours = await rooms.create(name, "ours", 300, 300)

    assert ours == theirs
    assert [room.metadata for room in await rooms.list_rooms([name])] == ["theirs"]


async def test_no_names_are_no_rooms_rather_than_all(rooms: LiveKitRooms, name: str) -> None:
    await rooms.create(name, "", 120, 60)

    assert await rooms.list_rooms([]) == []


async def test_what_is_missing_is_missing_and_not_an_error(rooms: LiveKitRooms, name: str) -> None:
    assert await rooms.delete(name) is False
    assert await rooms.participants(name) == []
    assert await rooms.remove_participant(name, "nobody") is False
    assert await rooms.dispatches(name) == []
    assert await rooms.delete_dispatch(name, "AD_none") is False


async def test_a_dispatch_is_made_once_listed_with_its_metadata_and_deleted(
    rooms: LiveKitRooms, name: str
) -> None:
    await rooms.create(name, "", 120, 60)

    dispatch = await rooms.dispatch(name, "some-agent", '{"attempt": 1}')

    # LiveKit itself adds an unnamed one to every room: it is not ours.
    assert await rooms.dispatches(name) == [
        Dispatch(id=dispatch, agent_name="some-agent", metadata='{"attempt": 1}')
    ]
    assert await rooms.delete_dispatch(name, dispatch) is True
    assert await rooms.delete_dispatch(name, dispatch) is False
    assert await rooms.dispatches(name) == []


async def test_a_missing_room_is_named(rooms: LiveKitRooms, name: str) -> None:
    with pytest.raises(NotFound, match=name):
        await rooms.dispatch(name, "some-agent", "")
    with pytest.raises(NotFound, match=name):
        await rooms.send_data(name, "topic", b"data", ["somebody"])


async def test_metadata_beyond_livekits_limit_is_refused_for_good(
    rooms: LiveKitRooms, name: str
) -> None:
    await rooms.create(name, "", 120, 60)

    with pytest.raises(InvalidInput, match="metadata size"):
        await rooms.dispatch(name, "some-agent", "x" * 600_000)
    assert await rooms.dispatches(name) == []


async def test_a_caller_is_seen_gets_data_and_can_be_removed(
    rooms: LiveKitRooms, livekit_server: LiveKitServer, name: str
) -> None:
    await rooms.create(name, "", 120, 60)
    room = rtc.Room()
    received: list[rtc.DataPacket] = []
    gone: list[rtc.DisconnectReason.ValueType] = []
    # The type of rtc's callbacks is open.
    room.on("data_received", received.append)  # pyright: ignore[reportUnknownMemberType]
    room.on("disconnected", gone.append)  # pyright: ignore[reportUnknownMemberType]
    token = caller_token(
        livekit_server.api_key,
        livekit_server.api_secret,
        room=name,
        identity="caller-1",
        ttl_seconds=60,
        attributes={"language": "en"},
    )
    await room.connect(livekit_server.url, token)
    try:

        async def is_active() -> bool:
            return [p.identity for p in await rooms.participants(name) if p.active] == ["caller-1"]

        await eventually(is_active)
        [caller] = await rooms.participants(name)
        assert (caller.kind, caller.attributes) == ("standard", {"language": "en"})
        assert caller.sid == room.local_participant.sid

        await rooms.send_data(name, "everline.control", b"finish", ["caller-1"])
        await eventually(lambda: len(received) == 1)
        assert (received[0].topic, received[0].data) == ("everline.control", b"finish")

        assert await rooms.remove_participant(name, "caller-1") is True
        await eventually(lambda: len(gone) == 1)
        assert await rooms.participants(name) == []
    finally:
        await room.disconnect()


async def test_data_for_nobody_is_a_mistake_because_livekit_would_send_it_to_all(
    rooms: LiveKitRooms, name: str
) -> None:
    with pytest.raises(ValueError, match="identity"):
        await rooms.send_data(name, "topic", b"data", [])


async def test_wrong_credentials_say_what_to_check(livekit_server: LiveKitServer) -> None:
    async with rooms_of(livekit_server, secret="b" * 40) as rooms:
        with pytest.raises(LiveKitMisconfigured) as refused:
            await rooms.list_rooms()
    assert refused.value.cure == "check LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
    assert livekit_server.api_url in refused.value.message
    assert "b" * 40 not in str(refused.value)


async def test_a_url_that_is_not_livekits_says_so(livekit_server: LiveKitServer) -> None:
    url = f"{livekit_server.url}/elsewhere"
    async with LiveKitRooms(url, livekit_server.api_key, livekit_server.api_secret) as rooms:
        with pytest.raises(LiveKitMisconfigured) as refused:
            await rooms.delete("org.room")
    assert refused.value.field == "LIVEKIT_URL"


async def test_nobody_at_the_url_is_unavailable_and_names_operation_and_url() -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    async with LiveKitRooms(url, "key", "s" * 32) as rooms:
        with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:\d+ did not delete a room"):
            await rooms.delete("org.room")


async def test_a_hanging_livekit_is_unavailable_in_time_and_then_works_again() -> None:
    async with start_livekit() as server, rooms_of(server) as rooms:
        await rooms.create("org.room", "", 120, 60)
        server.process.pause()
        with pytest.raises(Unavailable, match="did not list its rooms"):
            await rooms.list_rooms()
        server.process.resume()

        assert await names_listed(rooms) == ["org.room"]


async def test_a_restarted_livekit_is_found_again() -> None:
    async with start_livekit() as server, rooms_of(server) as rooms:
        await rooms.create("org.room", "", 120, 60)
        server.process.kill()
        with pytest.raises(Unavailable):
            await rooms.list_rooms()
        await server.process.start()

        assert await names_listed(rooms) == []


async def names_listed(rooms: LiveKitRooms) -> list[str]:
    """The rooms that are listed first after an outage; how soon depends on the machine."""
    listed: list[list[str]] = []

    async def answered() -> bool:
        try:
            listed.append([room.name for room in await rooms.list_rooms()])
        except Unavailable:
            return False
        return True

    await eventually(answered)
    return listed[0]
