"""The sentences of a transcript, weighted and classified."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

from domain.transcripts.transcript import Role, Turn

_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")  # noqa: RUF001 - full-width marks are meant
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")  # noqa: RUF001 - the typographic apostrophe is meant
_NAME = re.compile(r"(?<=\w )(?!I\b)[A-Z]\w+")

_OPENING = re.compile(
    r"\b(i'd like|i would like|i want|i need|i'm looking|i am looking|i'm calling|i am calling"
    r"|i have a (?:problem|question)|help me|not working|doesn't work|stopped working)\b",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"\b(can you|could you|can i|could i|may i|would you|please|how (?:do|can|much|many|long)"
    r"|what|when|where|which|why|help|book|reserve|cancel|change|order|problem|issue)\b|[?？]",  # noqa: RUF001 - both are meant
    re.IGNORECASE,
)
_AGREEMENT = re.compile(
    r"\b(booked|reserved|confirmed|confirm|scheduled|cancelled|canceled|ordered|arranged|changed"
    r"|updated|done|all set|noted|i have|i've|i will|i'll|we will|we'll|you will|you'll|see you"
    r"|your (?:table|order|appointment|booking|reservation|request)|agreed|refund\w*|sent)\b",
    re.IGNORECASE,
)
_COURTESY = re.compile(
    r"^\W*(?:i'm |i am )?(?:very |so )?(hello|hi|hey|glad|happy|sorry"
    r"|good (?:morning|afternoon|evening|day|night)|thanks?|thank you|goodbye|bye"
    r"|you're welcome|welcome|okay|ok|yes|yeah|no|sure|great|perfect|pardon)\b",
    re.IGNORECASE,
)
_STOPWORDS = frozenset(
    _WORD.findall(
        "a about all am an and any are as at be been but by can could did do does doing for from"
        " had has have he her here him his how i i'd i'll i'm i've if in into is it it's its just"
        " like me my no not now of on or our please she so some such than that that's the their"
        " them then there they this to too us very was we we'll were what when where which who"
        " will with would yes you you'd you'll you're your"
    )
)
_FIGURES = frozenset(
    _WORD.findall(
        "one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty"
        " hundred thousand today tomorrow tonight monday tuesday wednesday thursday friday"
        " saturday sunday noon midnight"
    )
)


@dataclass(frozen=True)
class Sentence:
    """One sentence of the transcript."""

    index: int
    role: Role
    text: str
    weight: float
    """How informative it is, compared with the call's other sentences."""
    place: float
    """Position in the call: 0 at the beginning, 1 at the end."""
    asks: int
    """2 if it states the reason for the call, 1 if it asks for anything, else 0."""
    agrees: bool
    """Whether it states an agreement."""

    @property
    def is_question(self) -> bool:
        """Whether it ends with a question mark."""
        return self.text.rstrip("\"'”’ ").endswith(("?", "？"))  # noqa: RUF001 - both are meant


def sentences_of(turns: Sequence[Turn]) -> list[Sentence]:
    """All sentences of the turns in order, weighted against each other."""
    spoken = [(turn.role, text) for turn in turns for text in _split(turn.text)]
    frequencies = Counter(word for _, text in spoken for word in set(_content_words(text)))
    last = max(len(spoken) - 1, 1)
    return [
        Sentence(
            index=index,
            role=role,
            text=text,
            weight=_weight(text, frequencies),
            place=index / last,
            asks=2 if _OPENING.search(text) else int(_ASKING.search(text) is not None),
            agrees=_AGREEMENT.search(text) is not None,
        )
        for index, (role, text) in enumerate(spoken)
    ]


def _split(text: str) -> list[str]:
    plain = " ".join(text.split())
    return [sentence for sentence in _END_OF_SENTENCE.split(plain) if _WORD.search(sentence)]


def _content_words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in _STOPWORDS]


def _weight(text: str, frequencies: Counter[str]) -> float:
    """Higher for recurring topics, figures and names; low for courtesies."""
    words = _content_words(text)
    if not words:
        return 0.0
    topic = sum(log(1 + frequencies[word]) for word in set(words)) / sqrt(len(words))
    figures = sum(1.0 for word in words if word.isdigit() or word in _FIGURES)
    names = len(_NAME.findall(text))
    weight = topic + min(figures, 3) * 0.8 + min(names, 3) * 0.4 + min(len(words), 8) * 0.15
    return weight * 0.3 if _COURTESY.match(text) and len(words) < 4 else weight
