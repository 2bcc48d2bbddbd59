"""What a caller's utterance says: intents, party size, day, time and name."""

import re
from dataclasses import dataclass
from enum import Enum, StrEnum

from stack.models.tabletalk.clock import Span, find_day, find_time
from stack.models.tabletalk.numbers import digits, words


class Slot(StrEnum):
    """What a booking needs, in the order in which it is asked for."""

    PARTY_SIZE = "party_size"
    DAY = "day"
    TIME = "time"
    NAME = "name"


class Intent(Enum):
    """What a caller wants, apart from filling in a booking, and how it is recognised."""

    GREETING = r"^\W*(hello|hi|hey|good (morning|afternoon|evening|day))\b"
    BOOK = r"\b(book|booking|reserve|reservation|table)\b"
    HOURS = (
        r"\b(opening (hours?|times?)|hours|(when|until when|what time) .*\b(open|close)"
        r"|are you (still )?open|open on|you (open|close))\b"
    )
    RECAP = (
        r"\b(repeat|say that again|what (have you|did you|did i)|my (booking|reservation)"
        r"|sum (it|that) up)\b"
    )
    CANCEL = r"\b(cancel|forget it|never mind)\b"
    WHO = r"\b(who are you|your name|who am i (speaking|talking))\b"
    THANKS = r"\b(thank you|thanks|many thanks|cheers)\b"
    GOODBYE = r"\b(good ?bye|bye|see you|good night|that('?s| is| will be) all|hang up)\b"
    YES = r"^\W*(yes|yeah|yep|sure|correct|right|that's right|exactly|please do)\b"
    NO = r"^\W*(no|nope|not really)\b"


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
class Booking:
    """What the caller has said about the table.

    The phrases are ready to be said again: day "on Friday", time "half past seven".
    """

    party_size: int | None = None
    day: str | None = None
    time: str | None = None
    name: str | None = None

    @property
    def missing(self) -> Slot | None:
        """The first thing that still has to be asked for."""
        return next((slot for slot in Slot if getattr(self, slot) is None), None)

    def __str__(self) -> str:
        table = f"a table for {words(self.party_size)}" if self.party_size else "a table"
        at = f"at {self.time}" if self.time else None
        name = f"for {self.name}" if self.name else None
        return " ".join(part for part in (table, self.day, at, name) if part)


@dataclass(frozen=True, kw_only=True)
class Heard(Booking):
    """One utterance, understood."""

    text: str
    intents: frozenset[Intent]

    @property
    def filled(self) -> dict[str, int | str]:
        """What it adds to a booking."""
        said = {slot.value: getattr(self, slot) for slot in Slot}
        return {slot: value for slot, value in said.items() if value}


def hear(text: str, asked: Slot | None = None) -> Heard:
    """Understand one utterance.

    Args:
        text: What was recognised.
        asked: What the caller was just asked for, so that a bare number or name can be placed.
    """
    text = " ".join(text.replace("\u2019", "'").split())
    plain = _plain(text)
    intents = frozenset(intent for intent in Intent if re.search(intent.value, plain))
    day = find_day(plain)
    # The part of the day may stand in the day's words ("tonight at seven"), so search the whole.
    time = find_time(plain, expected=asked is Slot.TIME)
    if time and day and time.start < day.end and day.start < time.end:
        time = find_time(_without(plain, day), expected=asked is Slot.TIME)
    rest = _without(_without(plain, day), time)
    party_size = _party_size(rest, expected=asked is Slot.PARTY_SIZE)
    may_be_name = asked is Slot.NAME and not (day or time or party_size or intents)
    at = time.phrase if time else None
    if at and day and day.phrase == "tonight":
        at = at.removesuffix(" in the evening")  # nobody says "tonight at seven in the evening"
    return Heard(
        text=text,
        intents=intents,
        party_size=party_size,
        day=day.phrase if day else None,
        time=at,
        name=_name(text, alone=may_be_name),
    )


def _plain(text: str) -> str:
    lower = re.sub(r"\bo' ?clock\b", "oclock", text.lower())
    lower = re.sub(r"\b([ap])\.\s?m\b\.?", r"\1m", lower)
    # A full stop or colon between digits is part of a time; a hyphen may join number words.
    lower = re.sub(r"[^\w\s':.]|(?<!\d)[.:]|[.:](?!\d)", " ", lower)
    return " ".join(digits(lower).split())


def _without(text: str, span: Span | None) -> str:
    # Blanks keep the positions of everything else.
    return text[: span.start] + " " * (span.end - span.start) + text[span.end :] if span else text


def _party_size(plain: str, *, expected: bool) -> int | None:
    if _JUST_ME.search(plain):
        return 1
    patterns = (*_PARTY_SIZES, _BARE_NUMBER) if expected else _PARTY_SIZES
    matches = (pattern.search(plain) for pattern in patterns)
    return next((int(match[1]) for match in matches if match and int(match[1]) > 0), None)


def _name(text: str, *, alone: bool) -> str | None:
    patterns = (_NAME_SAID, _NAME_HINTED, _NAME_ALONE) if alone else (_NAME_SAID, _NAME_HINTED)
    bare = re.sub(r"(?i)[.!?]+$|,? please\b", "", text).strip(" .,!?")
    matches = (pattern.search(bare) for pattern in patterns)
    names = (match[1] for match in matches if match and not _NOT_A_NAME.match(match[1]))
    name = next(names, None)
    return name and " ".join(word[:1].upper() + word[1:] for word in name.split())
