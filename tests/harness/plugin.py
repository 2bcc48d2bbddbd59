"""Fixtures and options of the tests on a whole stack."""

from collections.abc import AsyncGenerator

import pytest

from tests.harness.rig import Rig, running_rig
from tests.invariants import require_invariants

LONG = "--chaos-long"
LARGE = "--large-data"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `make chaos-cases` and `make large-data`."""
    parser.addoption(LONG, action="store_true", help="break things for longer (make chaos-cases)")
    parser.addoption(LARGE, action="store_true", help="with 100,000 transcripts (make large-data)")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the long tests."""
    config.addinivalue_line("markers", f"chaos: breaks things for longer; needs {LONG}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long form unless it was asked for."""
    if config.getoption(LONG):
        return
    long = [item for item in items if item.get_closest_marker("chaos")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Rig]:
    """The one stack that end-to-end and chaos tests share; its end checks every invariant."""
    async with running_rig(tmp_path_factory.mktemp("stack")) as running:
        yield running
        await running.finish_all()
        await require_invariants(running)
