"""The API, opened once for all tests that use it."""

from collections.abc import AsyncGenerator

import pytest

from tests.api.door import Door, open_door, services
from tests.api.house import House, build_house
from tests.servers import MongoServer, TemporalServer
from tests.workflows.calls import Studio


@pytest.fixture(scope="session")
async def door(studio: Studio) -> AsyncGenerator[Door]:
    """The API with everything there."""
    async with open_door(studio, services(studio)) as door:
        yield door


@pytest.fixture(scope="session")
async def keyless(studio: Studio) -> AsyncGenerator[Door]:
    """The same, for requests that bring what they need, or nothing."""
    async with open_door(studio, services(studio), key=None) as door:
        yield door


@pytest.fixture(scope="session")
async def house(
    temporal_server: TemporalServer, mongo_server: MongoServer
) -> AsyncGenerator[House]:
    """What the API stands on, with real MongoDB; tests take orgs of their own."""
    async with build_house(temporal_server, mongo_server) as house:
        yield house
