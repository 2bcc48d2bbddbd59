"""Breaking things during calls. Each test leaves the shared stack (`rig`) whole again."""

import pytest

SECONDS = 420
"""Longest test: detection by LiveKit takes 20 s, a restart of everything about as long."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test here its time, unless it names one."""
    for item in items:
        if "chaos" in item.path.parts and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SECONDS))
