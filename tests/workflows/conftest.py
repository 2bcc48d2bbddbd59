"""The plays of this folder, all of them under way at once."""

from collections.abc import AsyncGenerator

import pytest

from tests.workflows.calls import Studio
from tests.workflows.scenes import Scenes, plays


@pytest.fixture(scope="session")
async def scenes(studio: Studio, request: pytest.FixtureRequest) -> AsyncGenerator[Scenes]:
    """The collected plays, begun together."""
    tests = [getattr(item, "obj", None) for item in request.session.items]
    scenes = Scenes(studio, [plays[test] for test in tests if test in plays])
    yield scenes
    await scenes.stop()
