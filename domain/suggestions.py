"""Find the known name that a misspelt one probably means."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 100
"""Characters of a name that are compared; no known name is longer."""
_CUTOFF = 0.65
_NO_LETTER = re.compile(r"[^0-9a-z/]")


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar; case, `_`, `-` and `.` do not count. None if none is."""
    names = {_letters(name): name for name in known}
    found = get_close_matches(_letters(given), names, n=1, cutoff=_CUTOFF)
    return names[found[0]] if found else None


def spelt_alike(given: str, known: Iterable[str]) -> str | None:
    """The known name that differs in case, `_`, `-` and `.` alone."""
    return next((name for name in known if _letters(name) == _letters(given)), None)


def suggestion(given: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """A cure that names the nearest known name; else `otherwise`, or all known names."""
    names = list(known)
    if near := nearest(given, names):
        return f"did you mean {near}?"
    return otherwise or f"use one of: {', '.join(names)}"


def _letters(name: str) -> str:
    return _NO_LETTER.sub("", name[:_LONGEST].lower())
