"""Search terms of transcripts and queries.

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
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+)"
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
    for term in (term for text in texts for term in _terms(text)):
        if term not in STOP_WORDS:
            found[term] = None
            if len(found) == limit:
                break
    return list(found)


def _terms(text: str) -> Iterable[str]:
    for word in _WORD.findall(_plain(text)):
        for part in filter(None, _UNSPACED.split(word)):
            if _UNSPACED.match(part):
                yield from (part[start : start + 2] for start in range(max(len(part) - 1, 1)))
            else:
                yield part[:MAX_TERM_LENGTH]


def _plain(text: str) -> str:
    """The text without case and accents, and with spaces for lone surrogates (not indexable)."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = (letter for letter in decomposed if not unicodedata.combining(letter))
    plain = "".join(" " if "\ud800" <= letter <= "\udfff" else letter for letter in kept)
    return unicodedata.normalize("NFC", plain)
