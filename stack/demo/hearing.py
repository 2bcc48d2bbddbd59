"""The audio that a caller hears, with the time at which it arrived."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from livekit import rtc

HEARD_RATE = 24_000
"""Sample rate of the recording."""
SPEECH_LEVEL = 0.01
"""Root mean square (0 to 1) from which a frame counts as speech."""
_LONGEST_SECONDS = 1800
"""Half an hour of audio is 86 MB; later audio is measured but not recorded."""


@dataclass(frozen=True)
class HeardFrame:
    """One frame of audio."""

    at: float
    """Monotonic time at which it arrived, seconds."""
    identity: str
    """Participant who was heard."""
    level: float
    """Root mean square, 0 to 1."""
    seconds: float


class Heard:
    """The audio that a caller heard."""

    def __init__(self) -> None:
        self.frames: list[HeardFrame] = []
        self._pcm = bytearray()

    @staticmethod
    def now() -> float:
        """The current time for `since`: monotonic seconds."""
        return time.monotonic()

    def add(self, identity: str, frame: rtc.AudioFrame) -> None:
        """Add mono audio at `HEARD_RATE`."""
        self.frames.append(HeardFrame(self.now(), identity, level(frame.data), frame.duration))
        if len(self._pcm) < 2 * HEARD_RATE * _LONGEST_SECONDS:
            self._pcm += bytes(frame.data)

    def speech(self, since: float = 0.0) -> list[HeardFrame]:
        """Return the frames with speech since then."""
        return [frame for frame in self.frames if frame.at >= since and frame.level >= SPEECH_LEVEL]

    def speech_seconds(self, since: float = 0.0) -> float:
        """Return the seconds of speech since then."""
        return sum(frame.seconds for frame in self.speech(since))

    def first_speech(self, since: float) -> float | None:
        """Return when speech was first heard since then, if it was."""
        return next((frame.at for frame in self.speech(since)), None)

    def save(self, path: Path) -> None:
        """Write the recording as a WAV file."""
        recorded = rtc.AudioFrame(self._pcm, HEARD_RATE, 1, len(self._pcm) // 2)
        path.write_bytes(recorded.to_wav_bytes())


def level(samples: Sequence[int]) -> float:
    """Root mean square of 16-bit samples, 0 to 1."""
    return math.hypot(*samples) / math.sqrt(len(samples) or 1) / 32_768
