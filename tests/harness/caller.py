"""The recorded caller of the demo, which in the tests also reads the subtitles."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from livekit import rtc

from stack.demo.caller import Caller as SpeakingCaller


@dataclass(frozen=True)
class Subtitle:
    """One utterance; interim versions of it are replaced by the final one."""

    identity: str
    """Participant who spoke."""
    segment: str
    text: str


class Subtitles:
    """Final utterances in the order of their completion."""

    def __init__(self) -> None:
        self.lines: list[Subtitle] = []
        self._changed = asyncio.Condition()

    async def read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        """Read a stream to its end, and keep its text if it is final."""
        segment = (reader.info.attributes or {}).get("lk.segment_id", reader.info.stream_id)
        try:
            text = await reader.read_all()
        except rtc.StreamError:
            return  # the speaker died in mid-sentence
        # The agent's own text arrives in pieces and is marked as final only in the stream's
        # trailer, which is part of the attributes once the stream has been read.
        if (reader.info.attributes or {}).get("lk.transcription_final") != "true" or not text:
            return
        async with self._changed:
            if all(line.segment != segment for line in self.lines):
                self.lines.append(Subtitle(identity=identity, segment=segment, text=text))
                self._changed.notify_all()

    async def first(self, wanted: Callable[[Subtitle], bool]) -> Subtitle:
        """Return the first utterance that matches, waiting for it if needed."""
        async with self._changed:
            await self._changed.wait_for(lambda: any(map(wanted, self.lines)))
            return next(filter(wanted, self.lines))


class Caller(SpeakingCaller):
    """A caller that reads LiveKit's transcription streams."""

    def __init__(self) -> None:
        super().__init__()
        self.subtitles = Subtitles()
        self.room.register_text_stream_handler("lk.transcription", self._read)

    async def wait_for_subtitle(
        self, wanted: Callable[[Subtitle], bool], within: float
    ) -> Subtitle:
        """Return the first final subtitle that matches, waiting for it if needed.

        Raises:
            TimeoutError: none came within that many seconds.
        """
        async with asyncio.timeout(within):
            return await self.subtitles.first(wanted)

    def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._start(self.subtitles.read(reader, identity))
