"""Search terms of transcripts and of queries.

Case and accents do not matter. Text in scripts without spaces between words is split into pairs of
letters, so a word is found by its pairs.
"""

import re
import unicodedata
from collections.abc import Iterable

MAX_TERMS = 1_000
"""Searchable words per transcript: the first distinct ones."""
MAX_TERM_LENGTH = 40
"""Longer words are truncated, in transcripts and queries alike."""
MAX_QUERY_TERMS = 10

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
"""Thai, Lao, Burmese, Khmer, Japanese kana and Han letters."""

STOP_WORDS = frozenset(
    _WORD.findall(
        "a an and are as at be but by do for from had has have he her him his i if in is it its"
        " me my no not of oh ok on or our she so that the their them then there they this to uh um"
        " was we were what when which who will with would yes you your"
    )
)
"""English words in nearly every transcript: they would only cost index entries."""


def terms_of(texts: Iterable[str], limit: int = MAX_TERMS) -> list[str]:
    """The distinct search terms of some texts in order of first use, at most `limit`."""
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
    """The text without case and accents; lone surrogates, which no index takes, become spaces."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = (letter for letter in decomposed if not unicodedata.combining(letter))
    plain = "".join(" " if "\ud800" <= letter <= "\udfff" else letter for letter in kept)
    return unicodedata.normalize("NFC", plain)
