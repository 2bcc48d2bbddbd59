"""Sound in and out: any file to 16 kHz samples, a voice's samples to the format asked for."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, cast

import av
import av.container
import av.error
import av.filter
import numpy as np
from numpy.typing import NDArray

SpeechFormat = Literal["pcm", "wav", "mp3", "opus", "flac", "aac"]

HEARING_RATE = 16_000
"""Samples per second that Whisper hears."""
SPEAKING_RATE = 24_000
"""Samples per second of all speech that leaves this server, as OpenAI's does."""

MEDIA_TYPES: dict[SpeechFormat, str] = {
    "pcm": "audio/pcm",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "aac": "audio/aac",
}
_CONTAINERS: dict[SpeechFormat, tuple[str, str, str]] = {
    # container, codec, sample format
    "mp3": ("mp3", "libmp3lame", "s16p"),
    "opus": ("ogg", "libopus", "s16"),
    "flac": ("flac", "flac", "s16"),
    "aac": ("adts", "aac", "fltp"),
}


class UnreadableAudio(ValueError):
    """The bytes hold no audio that can be decoded."""


class AudioTooLong(ValueError):
    """The audio is longer than this server transcribes."""


def decode(data: bytes, *, max_seconds: float) -> NDArray[np.float32]:
    """Decode an audio file of any common format.

    Args:
        data: The file's bytes (WAV, MP3, Ogg, FLAC, WebM …).
        max_seconds: Longest audio to accept.

    Returns:
        Mono samples at 16 kHz, from -1 to 1, shape (samples,).

    Raises:
        UnreadableAudio: No audio can be decoded from `data`.
        AudioTooLong: It is longer than `max_seconds`; no more than that was decoded.
    """
    pieces: list[NDArray[np.int16]] = []
    samples = 0
    try:
        with av.open(io.BytesIO(data), mode="r", metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise UnreadableAudio("the file has no audio track")
            for piece in _resampled(_frames(container), HEARING_RATE):
                pieces.append(piece)
                samples += len(piece)
                if samples > max_seconds * HEARING_RATE:
                    raise AudioTooLong(f"longer than {max_seconds:g} s")
    except (av.error.FFmpegError, EOFError) as error:
        raise UnreadableAudio("not an audio file that can be decoded") from error
    if samples == 0:
        raise UnreadableAudio("the file holds no samples")
    return np.concatenate(pieces).astype(np.float32) / np.float32(32768)


def _frames(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    yield from container.decode(container.streams.audio[0])


def _resampled(frames: Iterator[av.AudioFrame], rate: int) -> Iterator[NDArray[np.int16]]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    for frame in frames:
        # A frame's own clock may have gaps; the resampler would fill or drop samples by it.
        frame.pts = None
        yield from _arrays(resampler.resample(frame))
    yield from _arrays(resampler.resample(None))


def _arrays(frames: list[av.AudioFrame]) -> Iterator[NDArray[np.int16]]:
    for frame in frames:
        yield cast(NDArray[np.int16], frame.to_ndarray()[0])


class Delivery:
    """Brings a voice to 24 kHz and to a pace, piece by piece, without clicks at the seams.

    The voice's own pace control rounds each sound up, so that twice the speed came out as one and a
    half; this one stretches the finished sound and keeps its pitch.

    Args:
        rate: Samples per second of the voice.
        speed: 1 leaves the pace as it is, 2 is twice as fast; 0.25 to 4.
    """

    def __init__(self, rate: int, speed: float) -> None:
        self._rate = rate
        self._taken = 0
        # PyAV's types know neither a filter's arguments nor what a sink gives.
        # Kept: its nodes do not keep it alive.
        self._graph = graph = cast(Any, av.filter.Graph())
        self._source = graph.add_abuffer(
            sample_rate=rate, format="s16", layout="mono", time_base=Fraction(1, rate)
        )
        self._sink = graph.add("abuffersink")
        nodes = [
            self._source,
            *(graph.add("atempo", f"{factor:g}") for factor in _tempo_factors(speed)),
            graph.add("aresample", str(SPEAKING_RATE)),
            graph.add("aformat", "sample_fmts=s16:channel_layouts=mono"),
            self._sink,
        ]
        for before, after in pairwise(nodes):
            before.link_to(after)
        graph.configure()

    def convert(self, samples: NDArray[np.int16]) -> bytes:
        """16-bit little-endian PCM at 24 kHz of `samples`, shape (samples,)."""
        frame = _frame(samples, self._rate)
        frame.time_base = Fraction(1, self._rate)
        frame.pts = self._taken
        self._taken += len(samples)
        self._source.push(frame)
        return self._ready()

    def finish(self) -> bytes:
        """The last samples that the filters still hold."""
        self._source.push(None)
        return self._ready()

    def _ready(self) -> bytes:
        frames: list[av.AudioFrame] = []
        # The sink says that it has no more for now, or for good, by raising.
        with suppress(BlockingIOError, EOFError):
            while True:
                frames.append(self._sink.pull())
        return b"".join(piece.astype("<i2").tobytes() for piece in _arrays(frames))


def _tempo_factors(speed: float) -> list[float]:
    """Factors that the filter takes (0.5 to 100), none for the voice's own pace."""
    if speed == 1.0:
        return []
    return [speed] if speed >= 0.5 else [0.5, speed / 0.5]


def _frame(samples: NDArray[np.int16], rate: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
    frame.sample_rate = rate
    return frame


def encode(pcm: bytes, target: SpeechFormat) -> bytes:
    """Wrap 16-bit mono PCM at 24 kHz as a file of the format `target`."""
    if target == "pcm":
        return pcm
    if target == "wav":
        return _wav(pcm)
    container_name, codec, sample_format = _CONTAINERS[target]
    out = io.BytesIO()
    with av.open(out, mode="w", format=container_name) as container:
        # PyAV's types know neither a codec name in a variable nor what a packet holds.
        writer = cast(Any, container)
        stream = writer.add_stream(codec, SPEAKING_RATE)
        stream.layout = "mono"
        stream.format = av.AudioFormat(sample_format)
        writer.mux(stream.encode(_frame(np.frombuffer(pcm, "<i2"), SPEAKING_RATE)))
        writer.mux(stream.encode(None))
    return out.getvalue()


def _wav(pcm: bytes) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEAKING_RATE)
        file.writeframes(pcm)
    return out.getvalue()
