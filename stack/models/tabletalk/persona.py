"""Who the dialogue speaks as, taken from the system prompt where that says so."""

import re
from dataclasses import dataclass

_TITLE = r"[A-Z][\w'&-]*(?:\s+(?:(?:of|de|di|la|the|and|&)\s+)?[A-Z][\w'&-]*){0,4}"
_DAYS = r"(?i:(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b)"
_NAME = re.compile(
    rf"(?i:\byour name is|\byou are called|\bcall yourself|\byou are|\byou're)\s+({_TITLE})"
)
_PLACE = re.compile(
    rf"(?i:\b(?:at|for|of|from))\s+(?!{_DAYS})(?:the\s+)?(?:restaurant\s+)?({_TITLE})"
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_HOURS = re.compile(r"(?i)\b(open|opening hours|hours)\b.*(\d|\bnoon\b|\bmidnight\b|o'clock)")

DEFAULT_HOURS = "We are open every day from noon to eleven in the evening."


@dataclass(frozen=True)
class Persona:
    """How the dialogue introduces itself and what it answers about opening hours."""

    name: str | None = None
    place: str | None = None
    hours: str = DEFAULT_HOURS

    @property
    def introduction(self) -> str:
        """Who is speaking, as a sentence; empty if the system prompt does not say."""
        if self.name and self.place:
            return f"This is {self.name} at {self.place}."
        who = self.place or self.name
        return f"This is {who}." if who else ""


def persona(system_prompt: str) -> Persona:
    """Read name, place and opening hours from a system prompt, as far as it has them."""
    system_prompt = system_prompt.replace("\u2019", "'")
    name = _NAME.search(system_prompt)
    place = _PLACE.search(system_prompt)
    return Persona(
        name=name[1] if name else None,
        place=place[1] if place else None,
        hours=_hours(system_prompt) or DEFAULT_HOURS,
    )


def _hours(prompt: str) -> str | None:
    for match in _SENTENCE.finditer(prompt):
        sentence = match[0].strip()
        if _HOURS.search(sentence):
            spoken = re.sub(r"(?i)^(you are|the (restaurant|place) is)\b", "We are", sentence)
            spoken = re.sub(r"(?i)^your opening hours", "Our opening hours", spoken)
            return spoken.rstrip(".!?") + "."
    return None
