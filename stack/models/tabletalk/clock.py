"""Times and days as callers say them."""

import re
from dataclasses import dataclass

from stack.models.tabletalk.numbers import words

_PART = r"(?: in the (morning|afternoon|evening)| at (night))"
_TIMES = (
    # half past 7, quarter to 8, 10 past 7
    re.compile(
        r"\b(?P<off>half|(?:a )?quarter|\d{1,2}) (?P<dir>past|to) (?P<h>\d{1,2})"
        rf"(?: ?(?P<ap>am|pm)\b|{_PART})?"
    ),
    # 7:30, 7.30, 19:00, 7 30 pm
    re.compile(rf"\b(?P<h>\d{{1,2}})[:. ](?P<m>[0-5]\d)\b(?: ?(?P<ap>am|pm)\b|{_PART})?"),
    # 7 pm, 7 o'clock, 7 in the evening
    re.compile(rf"\b(?P<h>\d{{1,2}})(?: ?(?P<ap>am|pm|oclock)\b)?{_PART}"),
    re.compile(r"\b(?P<h>\d{1,2}) ?(?P<ap>am|pm|oclock)\b"),
    # 730, 1930: how speech recognition likes to write "seven thirty"
    re.compile(rf"\b(?P<h>\d{{1,2}})(?P<m>[0-5]\d)\b(?: ?(?P<ap>am|pm)\b|{_PART})?"),
    re.compile(
        r"\b(?:at|around|about|by) (?P<h>\d{1,2})(?:th)?\b(?! (?:people|persons|guests|of us))"
    ),
)
_BARE = re.compile(r"^\W*(?P<h>\d{1,2})\W*(?:please)?\W*$")
_NAMED = re.compile(r"\b(noon|midday|midnight)\b")
_PART_OF_DAY = re.compile(r"\b(morning|afternoon|evening|tonight|night)\b")
_PARTS = {"tonight": "in the evening", "night": "at night"}

_WEEKDAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_RELATIVE_DAY = re.compile(r"\b(day after tomorrow|tomorrow|today|tonight|this evening)\b")
_WEEKDAY = re.compile(rf"\b(?:(this|next) )?({_WEEKDAYS})\b")
_DATES = (
    re.compile(rf"\b(?P<month>{_MONTHS}) (?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b"),
    re.compile(rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTHS})\b"),
)


@dataclass(frozen=True)
class Span:
    """A phrase to say, and where in the text it was found."""

    phrase: str
    start: int
    end: int


def find_time(text: str, *, expected: bool = False) -> Span | None:
    """A time of day in `text` (lower case, numbers as digits), as a phrase to say.

    Args:
        text: What the caller said.
        expected: Whether the caller was just asked for a time, so that a bare number is one.
    """
    if named := _NAMED.search(text):
        return Span(named[1].replace("midday", "noon"), *named.span())
    patterns = (*_TIMES, _BARE) if expected else _TIMES
    for pattern in patterns:
        for match in pattern.finditer(text):
            if phrase := _phrase(match, text):
                return Span(phrase, *match.span())
    return None


def _phrase(match: re.Match[str], text: str) -> str | None:
    found = match.groupdict()
    hour, minute = int(found["h"]), int(found.get("m") or 0)
    if offset := found.get("off"):
        minute = 30 if offset == "half" else 15 if "quarter" in offset else int(offset)
        if found["dir"] == "to":
            hour, minute = hour - 1 if hour > 1 else 12, 60 - minute
    if hour > 24 or minute > 59:
        return None
    return _say_time(hour, minute, _part(match, text, hour))


def _part(match: re.Match[str], text: str, hour: int) -> str | None:
    meridiem = match.groupdict().get("ap")
    if meridiem == "am":
        return "in the morning"
    if meridiem == "pm" or hour > 12:
        clock = hour % 12
        return "in the afternoon" if clock < 5 else "in the evening" if clock < 10 else "at night"
    said = [group for group in match.groups() if group and _PART_OF_DAY.fullmatch(group)]
    said += _PART_OF_DAY.findall(text)
    return _PARTS.get(said[0], f"in the {said[0]}") if said else None


def _say_time(hour: int, minute: int, part: str | None) -> str:
    spoken = words(hour % 12 or 12)
    clock = {
        0: spoken if part else f"{spoken} o'clock",
        15: f"quarter past {spoken}",
        30: f"half past {spoken}",
        45: f"quarter to {words(hour % 12 + 1)}",
    }.get(minute, f"{spoken} {'oh ' if minute < 10 else ''}{words(minute)}")
    return f"{clock} {part}" if part else clock


def find_day(text: str) -> Span | None:
    """A day in `text` (lower case, numbers as digits), as a phrase to say ("on Friday")."""
    for pattern in _DATES:
        date = pattern.search(text)
        if date and 1 <= int(date["day"]) <= 31:
            return Span(f"on {date['month'].title()} {_ordinal(int(date['day']))}", *date.span())
    if weekday := _WEEKDAY.search(text):
        which = "next " if weekday[1] == "next" else "on "
        return Span(which + weekday[2].title(), *weekday.span())
    if relative := _RELATIVE_DAY.search(text):
        phrase = {"day after tomorrow": "the day after tomorrow", "this evening": "tonight"}
        return Span(phrase.get(relative[1], relative[1]), *relative.span())
    return None


def _ordinal(day: int) -> str:
    suffix = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{suffix}"
