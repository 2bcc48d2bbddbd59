"""What each check of a part finds out, and what it cannot tell."""

import asyncio
import json
import struct
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from stack.supervision.health import (
    CannotTellError,
    NotHealthyError,
    agent_listed,
    livekit_serves,
    mongodb_answers,
    worker_polls,
)
from tests.fakes.web_service import WebService
from tests.servers import LiveKitServer, MongoServer, TemporalServer, free_port

_GOOD = {"ok": True, "detail": "well"}
_REPLY = struct.pack("<iiii", 0, 0, 0, 2013)[4:] + bytes(5)


async def test_mongodb_is_written_to_and_read_leaving_one_document(
    mongo_server: MongoServer,
) -> None:
    port = int(mongo_server.uri.split(":")[2].split("/")[0])
    for _ in range(3):
        await mongodb_answers(port)(0.0)

    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(
        mongo_server.uri, directConnection=True
    )
    assert await client["everline_stack"]["health"].count_documents({}) == 1
    client.close()


@pytest.mark.parametrize(
    ("written", "found", "reason"),
    [
        (b"\x10ok\x00" + struct.pack("<i", 0), b"", "refuses a write"),
        (b"\x04writeErrors\x00\x01ok\x00" + struct.pack("<d", 1), b"", "refuses a write"),
        (b"\x01ok\x00" + struct.pack("<d", 1), b"", "does not read what was written"),
    ],
)
async def test_a_mongodb_that_only_says_hello_is_not_healthy(
    written: bytes, found: bytes, reason: str
) -> None:
    hello = b"\x08isWritablePrimary\x00\x01"
    async with wire_server([hello, written, found]) as port:
        with pytest.raises(NotHealthyError, match=reason):
            await mongodb_answers(port)(0.0)


async def test_livekit_has_to_list_its_rooms(livekit_server: LiveKitServer) -> None:
    key, secret = livekit_server.api_key, livekit_server.api_secret
    await livekit_serves(livekit_server.api_url, key, secret)(0.0)
    other = "another-secret-of-at-least-32-characters"
    with pytest.raises(NotHealthyError, match="lists no rooms"):
        await livekit_serves(livekit_server.api_url, key, other)(0.0)


async def test_a_worker_that_does_not_poll_is_told_from_a_temporal_that_is_away(
    temporal_server: TemporalServer,
) -> None:
    with pytest.raises(NotHealthyError, match="nothing polls") as idle:
        await worker_polls(temporal_server.address, "default", "nobody-polls-this")(0.0)
    assert not isinstance(idle.value, CannotTellError)
    with pytest.raises(CannotTellError):
        await worker_polls(f"127.0.0.1:{free_port()}", "default", "any")(0.0)


async def test_an_agent_server_has_to_be_heard_of_lately() -> None:
    now = datetime.now(UTC)
    async with WebService() as api:
        api.answer = report(now)
        await agent_listed(api.url)(time.time() - 60)
        for silent in (report(now - timedelta(seconds=30)), report()):
            api.answer = silent
            with pytest.raises(NotHealthyError) as lost:
                await agent_listed(api.url)(0.0)
            assert not isinstance(lost.value, CannotTellError)


async def test_an_api_that_does_not_know_its_agent_servers_tells_nothing_of_them() -> None:
    async with WebService() as api:
        api.answer, api.status = report(known=False), 503
        with pytest.raises(CannotTellError):
            await agent_listed(api.url)(0.0)
        api.answer = "Bad gateway"
        with pytest.raises(CannotTellError):
            await agent_listed(api.url)(0.0)
    with pytest.raises(CannotTellError):
        await agent_listed(f"http://127.0.0.1:{free_port()}")(0.0)


def report(heard: datetime | None = None, *, known: bool = True) -> str:
    server = {"agent_name": "local-test", "last_heartbeat": heard and heard.isoformat()}
    return json.dumps(
        {
            "livekit": _GOOD,
            "temporal": _GOOD,
            "agents": _GOOD,
            "servers": [server] if heard else [],
            "servers_known": known,
        }
    )


@asynccontextmanager
async def wire_server(replies: list[bytes]) -> AsyncGenerator[int]:
    """A server that speaks MongoDB's framing and gives these answers, one after the other."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            try:
                (length,) = struct.unpack("<i", await reader.readexactly(4))
                await reader.readexactly(length - 4)
            except asyncio.IncompleteReadError:
                break  # it has heard enough
            body = _REPLY + reply
            writer.write(struct.pack("<i", 4 + len(body)) + body)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
