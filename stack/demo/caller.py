"""A caller without a browser: joins a room, plays recorded speech, and records what it hears.

Used by the demo, the end-to-end tests and the benchmarks. Like a real microphone, it never stops
sending: between recordings it sends silence.
"""
# The SDK leaves the types of a room's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import wave
from collections.abc import Coroutine
from pathlib import Path

from livekit import rtc

from stack.demo.hearing import HEARD_RATE, Heard

MICROPHONE_RATE = 24_000
"""Sample rate of the microphone, and of all recordings (16-bit mono)."""
_FRAME_SAMPLES = MICROPHONE_RATE // 50
_FRAME_BYTES = 2 * _FRAME_SAMPLES
_QUEUE_MS = 100
_PAUSE_SECONDS = 0.9
"""Silence after which an agent has finished speaking."""


class Caller:
    """A participant with a microphone that records the agent's audio."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.heard = Heard()
        self._source = rtc.AudioSource(MICROPHONE_RATE, 1, queue_size_ms=_QUEUE_MS)
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hearing: dict[str, list[asyncio.Task[None]]] = {}
        """By the identity of the participant who is heard."""
        self._silenced = False
        self._talking: asyncio.Task[None] | None = None
        self.disconnected = asyncio.Event()
        """Set when the room is gone or the caller was removed."""

    async def connect(self, url: str, token: str) -> None:
        """Join, with the microphone on."""
        self.room.on("track_subscribed", self._listen)
        self.room.on("participant_disconnected", self._stop_hearing)
        self.room.on("disconnected", self._note_disconnect)
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
        """Play a WAV file; returns when its last word has been sent.

        Raises:
            ValueError: it has another format than the microphone.
        """
        for frame in _frames(recording):
            self._frames.put_nowait(frame)
        await self._frames.join()
        await asyncio.sleep(self._source.queued_duration)

    async def wait_until_agent_spoke(self, since: float, within: float) -> None:
        """Wait until the agent was heard after `since` (see `Heard.now`) and has stopped again.

        Raises:
            TimeoutError: it was not heard, or did not stop, within that many seconds.
        """
        async with asyncio.timeout(within):
            quiet = 0
            # Twice: after a stall of this process, pending audio must be processed first.
            while quiet < 2:
                await asyncio.sleep(0.05)
                speech = self.heard.speech(since)
                ended = bool(speech) and self.heard.now() - speech[-1].at >= _PAUSE_SECONDS
                quiet = quiet + 1 if ended else 0

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
            idle = self._frames.empty()
            pcm = bytes(_FRAME_BYTES) if idle else self._frames.get_nowait()
            # Waits while the source's queue is full: the source is the clock.
            frame = rtc.AudioFrame(pcm, MICROPHONE_RATE, 1, _FRAME_SAMPLES)
            await self._source.capture_frame(frame)
            if not idle:
                self._frames.task_done()

    def _listen(
        self, track: rtc.Track, _: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            hearing = self._start(self._hear(track, participant.identity))
            self._hearing.setdefault(participant.identity, []).append(hearing)

    def _stop_hearing(self, participant: rtc.RemoteParticipant) -> None:
        # LiveKit uses the media line of a track again: who comes next would be heard on this one.
        for hearing in self._hearing.pop(participant.identity, []):
            hearing.cancel()

    async def _hear(self, track: rtc.Track, identity: str) -> None:
        stream = rtc.AudioStream.from_track(track=track, sample_rate=HEARD_RATE, num_channels=1)
        try:
            async for event in stream:
                self.heard.add(identity, event.frame)
        finally:
            await stream.aclose()

    def _note_disconnect(self, _: rtc.DisconnectReason.ValueType) -> None:
        self.disconnected.set()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _frames(recording: Path) -> list[bytes]:
    with wave.open(str(recording), "rb") as file:
        if file.getparams()[:3] != (1, 2, MICROPHONE_RATE):
            raise ValueError(f"{recording} must be 16-bit mono at {MICROPHONE_RATE} Hz")
        pcm = file.readframes(file.getnframes())
    starts = range(0, len(pcm), _FRAME_BYTES)
    return [pcm[start : start + _FRAME_BYTES].ljust(_FRAME_BYTES, b"\0") for start in starts]
