"""Fixtures and options of the tests on a whole stack."""

from collections.abc import AsyncGenerator

import pytest

from tests.harness.rig import Rig, running_rig
from tests.invariants import require_invariants

LONG = "--chaos-long"
LARGE = "--large-data"
UPGRADE = "--upgrade"
_LEFT_OUT = {"chaos": LONG, "upgrade": UPGRADE}
"""Markers of tests that run only with an option."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `make chaos-cases`, `make large-data` and `make upgrade-test`."""
    parser.addoption(LONG, action="store_true", help="break things for longer (make chaos-cases)")
    parser.addoption(LARGE, action="store_true", help="with 100,000 transcripts (make large-data)")
    parser.addoption(UPGRADE, action="store_true", help="from the previous release and back")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers of the tests that have to be asked for."""
    config.addinivalue_line("markers", f"chaos: breaks things for longer; needs {LONG}")
    config.addinivalue_line("markers", f"upgrade: needs the previous release and {UPGRADE}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for."""
    markers = [marker for marker, option in _LEFT_OUT.items() if not config.getoption(option)]
    unasked = [item for item in items if any(item.get_closest_marker(name) for name in markers)]
    config.hook.pytest_deselected(items=unasked)
    items[:] = [item for item in items if item not in unasked]


@pytest.fixture(scope="session")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Rig]:
    """The one stack that end-to-end and chaos tests share; its end checks every invariant."""
    async with running_rig(tmp_path_factory.mktemp("stack")) as running:
        yield running
        await running.finish_all()
        await require_invariants(running)
