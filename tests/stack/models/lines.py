"""The recorded caller lines, as the demo plays them."""

from __future__ import annotations

import re

from stack.demo.lines import SPEECH as SPEECH_FOLDER
from stack.demo.lines import Line, read_lines

__all__ = ["SPEECH_FOLDER", "SpokenLine", "spoken_lines", "words_of"]


class SpokenLine(Line):
    @property
    def wav(self) -> bytes:
        return self.recording.read_bytes()


def spoken_lines() -> list[SpokenLine]:
    return [SpokenLine(**line.model_dump()) for line in read_lines(None)]


def words_of(text: str) -> list[str]:
    """The words of a sentence, as Whisper may write them: "7" and "seven" are the same."""
    lower = text.lower().replace("7", "seven").replace("4", "four")
    return re.findall(r"[a-z']+", lower)
