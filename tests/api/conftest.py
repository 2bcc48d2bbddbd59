"""The API, opened once for all tests of this folder."""

from collections.abc import AsyncGenerator

import pytest

from tests.api.door import Door, open_door, services
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
