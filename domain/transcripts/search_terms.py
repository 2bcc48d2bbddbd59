"""The words of a transcript as they are searched for: the same for what is said and what is asked.

Case and accents do not matter. Scripts without spaces between words are cut into pairs of letters,
so that a word of theirs is found by the pairs that it is made of.
"""

import re
import unicodedata
from collections.abc import Iterable

MAX_TERMS = 1_000
"""Different words of one transcript that are searchable, the first ones said."""
MAX_TERM_LENGTH = 40
"""Longer words are cut here, in transcripts and queries alike."""
MAX_QUERY_TERMS = 10

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
"""Thai, Lao, Burmese, Khmer, Japanese kana and Han letters."""

STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "but",
        "by",
        "do",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "him",
        "his",
        "i",
        "if",
        "in",
        "is",
        "it",
        "its",
        "me",
        "my",
        "no",
        "not",
        "of",
        "oh",
        "ok",
        "on",
        "or",
        "our",
        "she",
        "so",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "they",
        "this",
        "to",
        "uh",
        "um",
        "was",
        "we",
        "were",
        "what",
        "when",
        "which",
        "who",
        "will",
        "with",
        "would",
        "yes",
        "you",
        "your",
    ]
)
"""English words that nearly every transcript has: they find nothing and cost an entry each."""


def terms_of(texts: Iterable[str], limit: int = MAX_TERMS) -> list[str]:
    """The different search terms of some texts in the order of their first use, up to `limit`."""
    found: dict[str, None] = {}
    for text in texts:
        for term in _terms(text):
            if term not in STOP_WORDS:
                found[term] = None
                if len(found) == limit:
                    return list(found)
    return list(found)


def _terms(text: str) -> Iterable[str]:
    for match in _WORD.finditer(_plain(text)):
        word = match.group()
        rest = 0
        for unspaced in _UNSPACED.finditer(word):
            if unspaced.start() > rest:
                yield word[rest : unspaced.start()][:MAX_TERM_LENGTH]
            yield from _pairs(unspaced.group())
            rest = unspaced.end()
        if rest < len(word):
            yield word[rest:][:MAX_TERM_LENGTH]


def _pairs(letters: str) -> Iterable[str]:
    if len(letters) == 1:
        yield letters
    for index in range(len(letters) - 1):
        yield letters[index : index + 2]


def _plain(text: str) -> str:
    """Without case and accents; lone surrogates, which no index can hold, become spaces."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = (letter for letter in decomposed if not unicodedata.combining(letter))
    plain = "".join(" " if "\ud800" <= letter <= "\udfff" else letter for letter in kept)
    return unicodedata.normalize("NFC", plain)
