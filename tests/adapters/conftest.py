"""A database of its own for each test, on the shared server."""

import uuid
from collections.abc import AsyncGenerator

import pytest

from adapters.mongo import MongoArchive
from adapters.mongo.client import Client, Database, connect
from domain.ids import SessionKey
from tests.servers import MongoServer


@pytest.fixture
async def mongo_client(mongo_server: MongoServer) -> AsyncGenerator[Client]:
    client = connect(mongo_server.uri)
    yield client
    client.close()


@pytest.fixture
async def database(mongo_client: Client) -> Database:
    # Not dropped: that takes the server longer than to be thrown away with everything in it.
    return mongo_client[f"test-{uuid.uuid4().hex}"]


@pytest.fixture
async def archive(mongo_client: Client, database: Database) -> MongoArchive:
    archive = MongoArchive(mongo_client, database.name)
    await archive.ensure_indexes()
    return archive


@pytest.fixture
def key() -> SessionKey:
    return SessionKey("acme", "call-1")
