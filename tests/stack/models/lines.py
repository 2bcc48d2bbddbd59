"""The recorded caller lines, as the demo plays them."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

import stack

SPEECH_FOLDER = Path(stack.__path__[0]) / "demo" / "speech"


class SpokenLine(BaseModel):
    file: str
    says: str
    answer_contains: list[str]

    @property
    def wav(self) -> bytes:
        return (SPEECH_FOLDER / self.file).read_bytes()


def spoken_lines() -> list[SpokenLine]:
    content = (SPEECH_FOLDER / "lines.json").read_bytes()
    return TypeAdapter(list[SpokenLine]).validate_json(content)


def words_of(text: str) -> list[str]:
    """The words of a sentence, as Whisper may write them: "7" and "seven" are the same."""
    lower = text.lower().replace("7", "seven").replace("4", "four")
    return re.findall(r"[a-z']+", lower)
