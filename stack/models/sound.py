"""Sound in and out: any file to 16 kHz samples, a voice's samples to the format asked for."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from typing import Any, Literal, cast

import av
import av.container
import av.error
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


class SpeakingRate:
    """Brings a voice's samples to 24 kHz piece by piece, without clicks at the seams.

    Args:
        rate: Samples per second of the voice.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SPEAKING_RATE)

    def convert(self, samples: NDArray[np.int16]) -> bytes:
        """16-bit little-endian PCM at 24 kHz of `samples`, shape (samples,)."""
        return _pcm(self._resampler.resample(_frame(samples, self._rate)))

    def finish(self) -> bytes:
        """The last samples that the filter still holds."""
        return _pcm(self._resampler.resample(None))


def _pcm(frames: list[av.AudioFrame]) -> bytes:
    return b"".join(piece.astype("<i2").tobytes() for piece in _arrays(frames))


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
