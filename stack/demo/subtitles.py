"""What is said in a room as text: LiveKit's transcription streams."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from livekit import rtc


@dataclass(frozen=True)
class Subtitle:
    """One utterance; interim versions of it are replaced by the final one."""

    identity: str
    """Participant who spoke."""
    segment: str
    text: str


class Subtitles:
    """Final utterances in the order in which they were complete."""

    def __init__(self) -> None:
        self.lines: list[Subtitle] = []
        self._changed = asyncio.Condition()

    async def read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        """Read one stream to its end, and keep it unless it is an interim version."""
        segment = (reader.info.attributes or {}).get("lk.segment_id", reader.info.stream_id)
        try:
            text = await reader.read_all()
        except rtc.StreamError:
            return  # who spoke has died in the middle of the sentence
        # The agent's own text is sent bit by bit and named final only in the stream's trailer,
        # which the attributes contain once the stream has been read.
        if (reader.info.attributes or {}).get("lk.transcription_final") != "true" or not text:
            return
        async with self._changed:
            if all(line.segment != segment for line in self.lines):
                self.lines.append(Subtitle(identity=identity, segment=segment, text=text))
                self._changed.notify_all()

    async def first(self, wanted: Callable[[Subtitle], bool]) -> Subtitle:
        """The first utterance that fits; waits for it."""
        async with self._changed:
            while True:
                for line in self.lines:
                    if wanted(line):
                        return line
                await self._changed.wait()
