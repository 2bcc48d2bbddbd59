"""Pronunciation rules: whole words, whatever their case, in text that arrives in pieces."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sound.pronunciation import pronunciation
from domain.agents.config import DispatchedConfig

DOTLESS = "\N{LATIN SMALL LETTER DOTLESS I}"
RULES = {"SQL": "sequel", "New York": "noo york", "C++": "see plus plus", "table": "tayble"}


async def spoken(pieces: list[str], **config: Any) -> str:
    given_config = {"pronunciation_rules": RULES, **config}
    transform = pronunciation(DispatchedConfig.model_validate(given_config))
    assert transform is not None

    async def text() -> AsyncIterator[str]:
        for piece in pieces:
            yield piece

    return "".join([piece async for piece in transform(text())])


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("SQL", "sequel"),
        ("I like sql, and Sql.", "I like sequel, and sequel."),
        ("MySQL and SQLite stay.", "MySQL and SQLite stay."),
        ("In new york they use C++ tables.", "In noo york they use see plus plus tables."),
        ("New Yorkers", "New Yorkers"),
        ("Two tables, one table", "Two tables, one tayble"),
        ("tableü", "tableü"),
        ("", ""),
    ],
)
async def test_whole_words_are_replaced(written: str, heard: str) -> None:
    assert await spoken([written]) == heard
    # However a model cuts it.
    assert await spoken(list(written)) == heard


@given(data=st.data())
async def test_it_does_not_matter_how_the_text_is_cut(data: st.DataObject) -> None:
    words = st.sampled_from(
        [*RULES, "sq", "l", "new", "york", "tab", "le", " ", " ", ",", "+", "_"]
    )
    text = "".join(data.draw(st.lists(words, max_size=12)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert await spoken(pieces) == await spoken([text])


@pytest.mark.parametrize(
    ("rules", "written", "heard"),
    [
        ({"iban": "eye ban"}, "İban, IBAN", "eye ban, eye ban"),
        ({"İstanbul": "is tan bul"}, "İSTANBUL'da istanbul", "is tan bul'da is tan bul"),
        ({"ilik": "x"}, f"{DOTLESS}l{DOTLESS}k", f"{DOTLESS}l{DOTLESS}k"),
        ({"\N{MICRO SIGN}g": "microgram"}, "5 \N{GREEK SMALL LETTER MU}g", "5 microgram"),
        ({"ΟΔΟΣ": "odos"}, "Οδός οδος ΟΔΟΣ", "Οδός odos odos"),
        ({"Straße": "shtrah seh"}, "STRAẞE", "shtrah seh"),
        ({"SQL": "sequel"}, "İİİİ SQL", "İİİİ sequel"),
    ],
)
async def test_the_case_of_every_language_is_one(
    rules: dict[str, str], written: str, heard: str
) -> None:
    assert await spoken([written], pronunciation_rules=rules) == heard
    assert await spoken(list(written), pronunciation_rules=rules) == heard


async def test_text_that_cannot_become_a_word_is_not_held_back() -> None:
    transform = pronunciation(DispatchedConfig(pronunciation_rules=RULES))
    assert transform is not None
    passed: list[str] = []

    async def text() -> AsyncIterator[str]:
        yield "Hello, my "
        # What went in has come out before more arrives.
        assert passed == ["Hello, my "]
        yield "tab"
        yield "le"

    async for piece in transform(text()):
        passed.append(piece)
    assert "".join(passed) == "Hello, my tayble"


@pytest.mark.parametrize(
    "config",
    [{}, {"pronunciation_rules": {" ": "x"}}, {"pronunciation_correction": False}],
)
def test_without_rules_nothing_is_done(config: dict[str, Any]) -> None:
    rules = {} if "pronunciation_correction" not in config else {"pronunciation_rules": RULES}
    assert pronunciation(DispatchedConfig.model_validate({**rules, **config})) is None
