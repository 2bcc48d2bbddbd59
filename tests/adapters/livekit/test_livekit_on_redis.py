"""Rooms on a real LiveKit whose Redis has forgotten them: the node that holds one knows better."""

import uuid
from collections.abc import AsyncGenerator

import pytest

from adapters.livekit.rooms import LiveKitRooms
from domain.errors import NotFound
from domain.sessions.ports import Dispatch
from tests.redis import RedisServer, start_redis
from tests.servers import start_livekit


@pytest.fixture(scope="module")
async def redis() -> AsyncGenerator[RedisServer]:
    async with start_redis() as redis:
        yield redis


@pytest.fixture(scope="module")
async def rooms(redis: RedisServer) -> AsyncGenerator[LiveKitRooms]:
    async with (
        start_livekit(redis=redis.address) as server,
        LiveKitRooms(server.url, server.api_key, server.api_secret) as rooms,
    ):
        yield rooms


@pytest.fixture
async def forgotten(redis: RedisServer, rooms: LiveKitRooms) -> str:
    """A room that is alive and in no list."""
    name = f"org.{uuid.uuid4().hex}"
    await rooms.create(name, "", 120, 60)
    assert await redis.command("HDEL", "rooms", name) == ":1"
    assert await rooms.list_rooms([name]) == []
    return name


async def test_a_room_that_no_list_has_is_there_if_its_node_says_so(
    rooms: LiveKitRooms, forgotten: str
) -> None:
    assert await rooms.exists(forgotten)
    assert not await rooms.exists("org.never-was")


async def test_dispatches_and_data_reach_a_forgotten_room(
    rooms: LiveKitRooms, forgotten: str
) -> None:
    dispatch = await rooms.dispatch(forgotten, "some-agent", "ours")

    assert await rooms.dispatches(forgotten) == [
        Dispatch(id=dispatch, agent_name="some-agent", metadata="ours")
    ]
    await rooms.send_data(forgotten, "topic", b"data", ["somebody"])
    assert await rooms.delete_dispatch(forgotten, dispatch)
    assert await rooms.dispatches(forgotten) == []


async def test_a_room_whose_node_was_forgotten_is_deleted(
    redis: RedisServer, rooms: LiveKitRooms
) -> None:
    name = f"org.{uuid.uuid4().hex}"
    await rooms.create(name, "", 120, 60)
    assert await redis.command("HDEL", "room_node_map", name) == ":1"

    assert await rooms.delete(name)

    assert not await rooms.exists(name)


async def test_a_room_that_neither_list_nor_node_has_is_missing(rooms: LiveKitRooms) -> None:
    with pytest.raises(NotFound):
        await rooms.dispatch("org.never-was", "some-agent", "")
    with pytest.raises(NotFound):
        await rooms.send_data("org.never-was", "topic", b"data", ["somebody"])
    assert await rooms.dispatches("org.never-was") == []
