"""A caller without a browser: joins a room, plays recorded speech, and records what it hears.

Used by the demo, the end-to-end tests and the benchmarks. Like a real microphone, it never stops
sending: between recordings it sends silence.
"""
# The SDK leaves the types of a room's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import wave
from collections.abc import Callable, Coroutine
from pathlib import Path

from livekit import rtc

from stack.demo.hearing import HEARD_RATE, Heard
from stack.demo.subtitles import Subtitle, Subtitles

MICROPHONE_RATE = 24_000
"""Sample rate of the microphone, and of all recordings."""
_FRAME_SAMPLES = MICROPHONE_RATE // 50
_QUEUE_MS = 100
_SILENCE = bytes(2 * _FRAME_SAMPLES)


class WrongRecording(Exception):
    """The microphone cannot play a recording; the message says which format it needs."""


class Caller:
    """A participant with a microphone that records the agent's audio and subtitles."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.heard = Heard()
        self.subtitles = Subtitles()
        self._source = rtc.AudioSource(MICROPHONE_RATE, 1, queue_size_ms=_QUEUE_MS)
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._silenced = False
        self._talking: asyncio.Task[None] | None = None
        self.disconnected = asyncio.Event()
        """Set when the room is gone or the caller was removed."""

    async def connect(self, url: str, token: str) -> None:
        """Join, with the microphone on."""
        self.room.on("track_subscribed", self._listen)
        self.room.on("disconnected", self._note_disconnect)
        self.room.register_text_stream_handler("lk.transcription", self._read)
        await self.room.connect(url, token)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, options)
        self._talking = asyncio.create_task(self._talk())

    async def wait_until_heard(self, within: float) -> None:
        """Wait until somebody has subscribed to the microphone: earlier speech is lost.

        Raises:
            TimeoutError: nobody did within that many seconds.
        """
        async with asyncio.timeout(within):
            for track in self.room.local_participant.track_publications.values():
                await track.wait_for_subscription()

    async def play(self, recording: Path) -> None:
        """Play a recording; returns when its last word has been sent."""
        for frame in _frames(recording):
            self._frames.put_nowait(frame)
        await self._frames.join()
        await asyncio.sleep(self._source.queued_duration)

    async def wait_for_subtitle(
        self, wanted: Callable[[Subtitle], bool], within: float
    ) -> Subtitle:
        """Return the first final subtitle that matches, waiting for it if needed.

        Raises:
            TimeoutError: none came within that many seconds.
        """
        async with asyncio.timeout(within):
            return await self.subtitles.first(wanted)

    async def wait_until_agent_spoke(self, since: float, within: float) -> None:
        """Wait until the agent was heard after `since` (see `Heard.now`) and has stopped again.

        Raises:
            TimeoutError: it was not heard, or did not stop, within that many seconds.
        """
        async with asyncio.timeout(within):
            await self.heard.speech_and_silence(since)

    async def disconnect(self) -> None:
        """Leave the room."""
        self._silenced = True
        if self._talking:
            # Not cancelled: the SDK logs an error for a frame that nobody awaits.
            await asyncio.wait([self._talking], timeout=5.0)
            self._tasks.add(self._talking)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()
        await self._source.aclose()

    async def _talk(self) -> None:
        while not self._silenced:
            try:
                frame = self._frames.get_nowait()
            except asyncio.QueueEmpty:
                await self._capture(_SILENCE)
            else:
                await self._capture(frame)
                self._frames.task_done()

    async def _capture(self, pcm: bytes) -> None:
        # Waits while the source's queue is full: the source is the clock.
        frame = rtc.AudioFrame(pcm, MICROPHONE_RATE, 1, _FRAME_SAMPLES)
        await self._source.capture_frame(frame)

    def _listen(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._start(self._hear(track, participant.identity))

    async def _hear(self, track: rtc.Track, identity: str) -> None:
        stream = rtc.AudioStream.from_track(track=track, sample_rate=HEARD_RATE, num_channels=1)
        try:
            async for event in stream:
                self.heard.add(identity, bytes(event.frame.data))
        finally:
            await stream.aclose()

    def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._start(self.subtitles.read(reader, identity))

    def _note_disconnect(self, _: rtc.DisconnectReason.ValueType) -> None:
        self.disconnected.set()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _frames(recording: Path) -> list[bytes]:
    with wave.open(str(recording), "rb") as file:
        form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        if form != (MICROPHONE_RATE, 1, 2):
            raise WrongRecording(
                f"{recording} has {form[0]} Hz, {form[1]} channels, {8 * form[2]} bits;"
                f" it has to have {MICROPHONE_RATE} Hz, 1 channel, 16 bits"
            )
        pcm = file.readframes(file.getnframes())
    size = 2 * _FRAME_SAMPLES
    return [pcm[start : start + size].ljust(size, b"\0") for start in range(0, len(pcm), size)]
