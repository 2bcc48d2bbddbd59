"""End-to-end tests: real servers, a real agent, real audio. All share one stack (`rig`)."""

import pytest

SECONDS = 360
"""Longest test: a call with speech takes up to 30 s on an idle machine, and the first one waits for
the stack."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test here its time, unless it names one."""
    for item in items:
        if "e2e" in item.path.parts and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SECONDS))
