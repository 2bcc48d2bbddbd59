"""Which known name a misspelt one means."""

import pytest

from domain.suggestions import nearest, suggestion

FIELDS = ["user_identity", "session_id", "started_after", "prompt", "limit"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("promt", "prompt"),
        ("PROMPT", "prompt"),
        ("userIdentity", "user_identity"),
        ("started-after", "started_after"),
        ("limits", "limit"),
        ("sesion_id", "session_id"),
        ("colour", None),
        ("", None),
        ("p" * 100_000, None),
    ],
)
def test_the_nearest_name(given: str, meant: str | None) -> None:
    assert nearest(given, FIELDS) == meant


def test_without_a_similar_name_all_are_listed() -> None:
    assert suggestion("echoo", ["alloy", "echo"]) == "did you mean echo?"
    assert suggestion("nobody", ["alloy", "echo"]) == "use one of: alloy, echo"
    assert suggestion("nobody", ["alloy", "echo"], "GET /x lists them") == "GET /x lists them"
