"""Operations that MongoDB does not answer hold up no other operation of the process."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from adapters.mongo.client import Client, connect
from tests.servers import MongoServer


@pytest.fixture
async def silent_server() -> AsyncGenerator[str]:
    """The URI of a server that takes every connection and answers nothing."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    yield f"mongodb://127.0.0.1:{server.sockets[0].getsockname()[1]}/?directConnection=true"
    server.close()


async def test_many_hanging_operations_leave_threads_for_others(
    mongo_server: MongoServer, silent_server: str
) -> None:
    hangs: Client = AsyncIOMotorClient(silent_server, serverSelectionTimeoutMS=30_000)
    answers = connect(mongo_server.uri)
    hanging = [asyncio.ensure_future(hangs["test"]["any"].find_one({})) for _ in range(60)]
    await asyncio.sleep(0)

    answered = asyncio.ensure_future(answers["test"]["any"].find_one({}))
    done, _ = await asyncio.wait([*hanging, answered], return_when=asyncio.FIRST_COMPLETED)

    assert answered in done
    hangs.close()
    answers.close()
    await asyncio.gather(*hanging, return_exceptions=True)
