"""Numbers as callers say them and as a voice should say them."""

import re

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50}
_VALUES = {word: value for value, word in enumerate(_UNITS)} | _TENS
_COMPOUND = re.compile(
    rf"\b({'|'.join(_TENS)})[ -]({'|'.join(_UNITS[1:10])})\b|\b({'|'.join(_VALUES)})\b"
)


def digits(text: str) -> str:
    """`text` (lower case) with its number words below sixty as digits: "twenty five" → "25"."""

    def value(match: re.Match[str]) -> str:
        tens, unit, single = match.groups()
        return str(_VALUES[single] if single else _VALUES[tens] + _VALUES[unit])

    return _COMPOUND.sub(value, text)


def words(number: int) -> str:
    """`number` in words below sixty, in digits above: 25 → "twenty-five"."""
    if number < len(_UNITS):
        return _UNITS[number]
    for word, tens in _TENS.items():
        if tens <= number < tens + 10:
            return word if number == tens else f"{word}-{_UNITS[number - tens]}"
    return str(number)
