"""A difference between two clocks is told in words that people understand."""

import pytest

from domain.clocks import correction, described, differences, differs


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (600.0, "10 min ahead of this machine's"),
        (-600.4, "10 min behind this machine's"),
        (-45.0, "45 s behind this machine's"),
        (119.0, "119 s ahead of this machine's"),
        (7_200.0, "2 h ahead of this machine's"),
        (-86_400.0 * 400, "400 days behind this machine's"),
    ],
)
def test_a_difference_in_words(ahead: float, words: str) -> None:
    assert described("LiveKit", ahead) == f"LiveKit's clock is {words}"


def test_only_a_known_and_large_difference_counts() -> None:
    assert [differs(ahead) for ahead in (None, 0.0, 29.0, -31.0)] == [False, False, False, True]
    assert [correction(ahead) for ahead in (None, 29.0, -31.0)] == [0.0, 0.0, -31.0]
    assert differences({"LiveKit": 600.0, "Temporal": None, "the API": 1.0}, "mine") == [
        "LiveKit's clock is 10 min ahead of mine"
    ]
