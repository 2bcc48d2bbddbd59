"""What a caller's utterance says: intents, party size, day, time and name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from stack.models.tabletalk.clock import find_day, find_time
from stack.models.tabletalk.numbers import digits


class Slot(StrEnum):
    """What a booking needs, in the order in which it is asked for."""

    PARTY_SIZE = "party_size"
    DAY = "day"
    TIME = "time"
    NAME = "name"


class Intent(StrEnum):
    """What a caller wants, apart from filling in a booking."""

    GREETING = "greeting"
    BOOK = "book"
    HOURS = "hours"
    RECAP = "recap"
    CANCEL = "cancel"
    WHO = "who"
    THANKS = "thanks"
    GOODBYE = "goodbye"
    YES = "yes"
    NO = "no"


_INTENTS = {
    Intent.GREETING: r"^\W*(hello|hi|hey|good (morning|afternoon|evening|day))\b",
    Intent.BOOK: r"\b(book|booking|reserve|reservation|table)\b",
    Intent.HOURS: r"\b(opening (hours?|times?)|hours|(when|until when|what time) .*\b(open|close)"
    r"|are you (still )?open|open on|you (open|close))\b",
    Intent.RECAP: r"\b(repeat|say that again|what (have you|did you|did i)|my (booking|reservation)"
    r"|sum (it|that) up)\b",
    Intent.CANCEL: r"\b(cancel|forget it|never mind)\b",
    Intent.WHO: r"\b(who are you|your name|who am i (speaking|talking))\b",
    Intent.THANKS: r"\b(thank you|thanks|many thanks|cheers)\b",
    Intent.GOODBYE: r"\b(good ?bye|bye|see you|good night|that('?s| is| will be) all|hang up)\b",
    Intent.YES: r"^\W*(yes|yeah|yep|sure|correct|right|that's right|exactly|please do)\b",
    Intent.NO: r"^\W*(no|nope|not really)\b",
}
_INTENT_PATTERNS = {intent: re.compile(pattern) for intent, pattern in _INTENTS.items()}

_PARTY_SIZES = (
    re.compile(r"\b(?:table|party|group|booking|reservation|seats?)(?: of| for)? (\d{1,2})\b"),
    re.compile(r"\b(\d{1,2}) (?:people|persons?|guests?|adults?|seats?|of us)\b"),
    re.compile(r"\b(?:for|we are|we're|make it|there (?:are|will be)) (\d{1,2})\b"),
)
_JUST_ME = re.compile(r"\b(just|only) (for )?(me|myself)\b")
_BARE_NUMBER = re.compile(r"\b(\d{1,2})\b")

_NAME_WORD = r"[A-Za-z][A-Za-z'-]*"
_CAPITAL_WORD = r"[A-Z][A-Za-z'-]*"
_NAME_SAID = re.compile(
    r"(?i:\b(?:name is|name's|call me|(?:under|on|in)(?: the| my)? name(?: of)?|under))"
    rf"\s+({_NAME_WORD}(?:\s+{_CAPITAL_WORD}){{0,2}})"
)
_NAME_HINTED = re.compile(
    rf"(?i:\b(?:this is|it's|it is|i am|i'm|for))\s+({_CAPITAL_WORD}(?:\s+{_CAPITAL_WORD}){{0,2}})"
)
_NAME_ALONE = re.compile(rf"^({_NAME_WORD}(?:\s+{_NAME_WORD}){{0,2}})$")
_NOT_A_NAME = re.compile(
    r"(?i)^(i|me|a|the|my|we|you|it|not|sorry|calling|here|today|tonight|tomorrow|what|when|how|why"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|june|july|august"
    r"|september|october|november|december)\b"
)


@dataclass(frozen=True)
class Heard:
    """One utterance, understood.

    The phrases are ready to be said again: day "on Friday", time "half past seven".
    """

    text: str
    intents: frozenset[Intent]
    party_size: int | None = None
    day: str | None = None
    time: str | None = None
    name: str | None = None

    @property
    def fills(self) -> bool:
        """Whether it says anything that belongs into a booking."""
        return any((self.party_size, self.day, self.time, self.name))


def hear(text: str, asked: Slot | None = None) -> Heard:
    """Understand one utterance.

    Args:
        text: What was recognised.
        asked: What the caller was just asked for, so that a bare number or name can be placed.
    """
    text = " ".join(text.replace("\u2019", "'").split())
    plain = _plain(text)
    intents = frozenset(i for i, pattern in _INTENT_PATTERNS.items() if pattern.search(plain))
    day = find_day(plain)
    rest = _without(plain, day.start, day.end) if day else plain
    # The part of the day may stand in the day's words ("tonight at seven"), so search the whole.
    time = find_time(plain, expected=asked is Slot.TIME)
    if time and day and time.start < day.end and day.start < time.end:
        time = find_time(rest, expected=asked is Slot.TIME)
    if time:
        rest = _without(rest, time.start, time.end)
    party_size = _party_size(rest, expected=asked is Slot.PARTY_SIZE)
    may_be_name = asked is Slot.NAME and not (day or time or party_size or intents)
    return Heard(
        text=text,
        intents=intents,
        party_size=party_size,
        day=day.phrase if day else None,
        # Nobody says "tonight at seven in the evening".
        time=time.phrase.removesuffix(" in the evening" if day and day.phrase == "tonight" else "")
        if time
        else None,
        name=_name(text, alone=may_be_name),
    )


def _plain(text: str) -> str:
    lower = re.sub(r"\bo' ?clock\b", "oclock", text.lower())
    lower = re.sub(r"\b([ap])\.\s?m\b\.?", r"\1m", lower)
    # A full stop or colon between digits is part of a time; a hyphen may join number words.
    lower = re.sub(r"[^\w\s':.]|(?<!\d)[.:]|[.:](?!\d)", " ", lower)
    return " ".join(digits(lower).split())


def _without(text: str, start: int, end: int) -> str:
    # Blanks keep the positions of everything else.
    return text[:start] + " " * (end - start) + text[end:]


def _party_size(plain: str, *, expected: bool) -> int | None:
    if _JUST_ME.search(plain):
        return 1
    patterns = (*_PARTY_SIZES, _BARE_NUMBER) if expected else _PARTY_SIZES
    for pattern in patterns:
        match = pattern.search(plain)
        if match and int(match[1]) > 0:
            return int(match[1])
    return None


def _name(text: str, *, alone: bool) -> str | None:
    patterns = (_NAME_SAID, _NAME_HINTED, _NAME_ALONE) if alone else (_NAME_SAID, _NAME_HINTED)
    bare = re.sub(r"(?i)[.!?]+$|,? please\b", "", text).strip(" .,!?")
    for pattern in patterns:
        match = pattern.search(bare)
        if match and not _NOT_A_NAME.match(match[1]):
            return _proper(match[1])
    return None


def _proper(name: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in name.split())
