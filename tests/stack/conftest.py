"""What the tests of the stack share: the recorded caller."""

import pytest

from tests.stack.models.lines import SpokenLine, spoken_lines


@pytest.fixture(scope="session")
def caller_lines() -> list[SpokenLine]:
    return spoken_lines()
