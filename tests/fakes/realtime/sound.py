"""What a fake provider hears and says: 16-bit mono PCM, told apart by its energy."""

import array
import math
from enum import Enum

from stack.demo.hearing import level

_SPEECH_LEVEL = 0.01
"""Root mean square, of 1.0, above which a piece of audio counts as speech."""
_START_SECONDS = 0.1
_SILENCE_SECONDS = 0.8
"""Longer than the pauses within the recorded sentences."""
_TONE_HERTZ = 220.0
_TONE_LEVEL = 0.3


class Heard(Enum):
    """What a piece of audio changes."""

    STARTED = "started"
    STOPPED = "stopped"


class Ear:
    """Notices where speech starts and stops."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._speech = 0.0
        self._silence = 0.0
        self._speaking = False
        self.seconds = 0.0
        """Speech that was heard in all."""
        self.deaf = False
        """Whether all sound is taken for silence."""

    def hear(self, pcm: bytes) -> Heard | None:
        """Take a piece of audio, in order."""
        samples = array.array("h", bytes(len(pcm)) if self.deaf else pcm)
        seconds = len(samples) / self._rate
        if level(samples) > _SPEECH_LEVEL:
            self.seconds += seconds
            self._speech += seconds
            self._silence = 0.0
        else:
            self._silence += seconds
        if not self._speaking and self._speech >= _START_SECONDS:
            self._speaking = True
            return Heard.STARTED
        if self._silence >= _SILENCE_SECONDS:
            self._speech = 0.0
            if self._speaking:
                self._speaking = False
                return Heard.STOPPED
        return None


def tone(seconds: float, rate: int) -> bytes:
    """A sound that a caller notices, as speech."""
    samples = (
        int(32_767 * _TONE_LEVEL * math.sin(2 * math.pi * _TONE_HERTZ * index / rate))
        for index in range(round(seconds * rate))
    )
    return array.array("h", samples).tobytes()
