"""What a caller hears of the agents, kept with the time at which it was heard."""

import array
import asyncio
import math
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HEARD_RATE = 24_000
"""Samples a second of what is kept."""
SPEECH_LEVEL = 0.01
"""Root mean square, of 1.0, above which a frame counts as speech."""
_PAUSE_SECONDS = 0.9
"""Silence after which an agent has finished and does not merely draw breath."""
_LONGEST_SECONDS = 1800
"""Half an hour of audio is 86 MB; what comes later is measured but not kept."""


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
        """The time to give to `since`: monotonic seconds."""
        return time.monotonic()

    def add(self, identity: str, pcm: bytes) -> None:
        """Keep 16-bit mono samples of `HEARD_RATE`."""
        samples = array.array("h", pcm)
        seconds = len(samples) / HEARD_RATE
        self.frames.append(HeardFrame(self.now(), identity, level(samples), seconds))
        if len(self._pcm) < 2 * HEARD_RATE * _LONGEST_SECONDS:
            self._pcm += pcm

    def speech(self, since: float) -> list[HeardFrame]:
        """The frames with speech that were heard since then."""
        return self._speech(since, None)

    def speech_seconds(self, since: float = 0.0, identity: str | None = None) -> float:
        """Seconds of speech that were heard since then, of one participant or of all."""
        return sum(frame.seconds for frame in self._speech(since, identity))

    def first_speech(self, since: float = 0.0) -> float | None:
        """When speech was first heard since then; None if it was not."""
        frames = self._speech(since, None)
        return frames[0].at if frames else None

    async def speech_and_silence(self, since: float) -> None:
        """Return when there was speech since then and `_PAUSE_SECONDS` without any after it."""
        quiet = 0
        # Seen twice: after a stall of this process, what came meanwhile has to be taken in first.
        while quiet < 2:
            await asyncio.sleep(0.05)
            speech = self._speech(since, None)
            ended = bool(speech) and self.now() - speech[-1].at >= _PAUSE_SECONDS
            quiet = quiet + 1 if ended else 0

    def save(self, path: Path) -> None:
        """Write all that was heard as a WAV file."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(HEARD_RATE)
            file.writeframes(bytes(self._pcm))

    def _speech(self, since: float, identity: str | None) -> list[HeardFrame]:
        return [
            frame
            for frame in self.frames
            if frame.at >= since
            and frame.level >= SPEECH_LEVEL
            and identity in (None, frame.identity)
        ]


def level(samples: Sequence[int]) -> float:
    """Root mean square of 16-bit samples, 0 to 1."""
    if not samples:
        return 0.0
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples)) / 32_768
