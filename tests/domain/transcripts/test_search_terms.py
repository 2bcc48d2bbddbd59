"""Search terms: what is said and what is asked for meet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.transcripts.listing import search_terms_of_query
from domain.transcripts.search_terms import MAX_TERM_LENGTH, MAX_TERMS, STOP_WORDS, terms_of


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("A table, please: for FOUR!", ["table", "please", "four"]),
        ("Crème BRÛLÉE", ["creme", "brulee"]),
        ("Straße STRASSE", ["strasse"]),
        ("a table at the table", ["table"]),
        ("order no. 4711-x", ["order", "4711", "x"]),
        ("\ufb01nance \uff21\uff22", ["finance", "ab"]),
        ("東京駅で", ["東京", "京駅", "駅て"]),
        ("ab東c", ["ab", "東", "c"]),
        ("예약 부탁", ["예약", "부탁"]),
        ("w" * 60, ["w" * MAX_TERM_LENGTH]),
        ("snake_case", ["snake", "case"]),
        ("bad \ud800 half", ["bad", "half"]),
        ("  ", []),
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert terms_of([text]) == terms


def test_a_transcript_has_a_bounded_number_of_terms() -> None:
    assert len(terms_of(f"word{number}" for number in range(5_000))) == MAX_TERMS


@given(st.text(), st.text())
def test_whatever_was_said_is_found_by_its_own_words(before: str, after: str) -> None:
    said = set(terms_of([f"{before} umbrella {after}"]))
    assert "umbrella" in said
    assert all(term and len(term) <= MAX_TERM_LENGTH for term in said)
    assert not said & STOP_WORDS
    for term in said:
        term.encode()


def test_a_query_needs_a_word_and_not_too_many() -> None:
    assert search_terms_of_query("The Table") == ["table"]
    for query in ("", "the", "?!", " ".join(f"w{number}" for number in range(11))):
        with pytest.raises(InvalidInput) as refused:
            search_terms_of_query(query)
        assert refused.value.field == "q"
        assert refused.value.cure
