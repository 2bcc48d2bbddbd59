"""What the recorded caller says, and what a correct answer contains."""

import re
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from stack.models.tabletalk.numbers import digits

SPEECH = Path(__file__).parent / "speech"
DEMO_LINES = 3
"""The first ones: a table for four, the day and the time, the name. The whole call stays short."""


class Line(BaseModel):
    """One recording (WAV), its words, and what a correct answer contains."""

    file: str
    says: str
    answer_contains: list[str]

    @property
    def recording(self) -> Path:
        """Path of the recording."""
        return SPEECH / self.file

    def missing_in(self, answer: str) -> list[str]:
        """Return what a correct answer would contain and this one does not, ignoring case."""
        spoken = answer.casefold()
        return [words for words in self.answer_contains if words.casefold() not in spoken]


def read_lines(count: int | None = DEMO_LINES) -> list[Line]:
    """Return the first recordings, in the order of the conversation; all with None."""
    content = (SPEECH / "lines.json").read_bytes()
    return TypeAdapter(list[Line]).validate_json(content)[:count]


def wrong_words(said: str, heard: str) -> int:
    """Return the word-level edit distance between two texts."""
    wanted, found = _words(said), _words(heard)
    row = list(range(len(found) + 1))
    for i, word in enumerate(wanted, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(found, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1]


def word_count(text: str) -> int:
    """Count the words of a text as `wrong_words` does."""
    return len(_words(text))


def _words(text: str) -> list[str]:
    # "7" and "seven" are the same word; so is "Miller." and "Miller".
    return digits(re.sub(r"[^\w\s']", " ", text.casefold())).split()
