"""The plays of a file, all of them under way at once."""

from collections.abc import AsyncGenerator

import pytest

from tests.workflows.calls import Studio
from tests.workflows.scenes import Scenes, plays


@pytest.fixture(scope="module")
async def scenes(studio: Studio, request: pytest.FixtureRequest) -> AsyncGenerator[Scenes]:
    """The collected plays of the file, begun together."""
    here = (item for item in request.session.items if item.path == request.path)
    tests = [getattr(item, "obj", None) for item in here]
    scenes = Scenes(studio, [plays[test] for test in tests if test in plays])
    yield scenes
    await scenes.stop()
