"""What all tests share: the real servers of `tests.servers`, and a whole stack of its own."""

import pytest
from hypothesis import HealthCheck, settings

# A slow moment of the machine is no fault, and each run tries the same cases.
settings.register_profile(
    "everline",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("everline")

pytest_plugins = [
    "tests.garbage",
    "tests.servers",
    "tests.workflows.studio",
    "tests.harness.plugin",
    "tests.api.plugin",
    "tests.fast",
    "tests.order",
    "tests.stack.interpreters",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make fuzz` and `make model`; an option is known before the folder that uses it is read."""
    parser.addoption("--fuzz-long", action="store_true", help="fuzz the API for longer")
    parser.addoption(
        "--model-long", action="store_true", help="try sessions in many more orders of events"
    )
    parser.addoption(
        "--update-fingerprints", action="store_true", help="write down the steps of the workflow"
    )
