"""Sound in and out: any file to 16 kHz samples, a voice's samples to the format asked for."""

import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from typing import Any, Literal, cast

import av
import av.error
import av.filter
import numpy as np
from numpy.typing import NDArray

SpeechFormat = Literal["pcm", "wav", "mp3", "opus", "flac", "aac"]

HEARING_RATE = 16_000
"""Samples per second that Whisper hears."""
SPEAKING_RATE = 24_000
"""Samples per second of all speech that leaves this server, as OpenAI's does."""

FORMATS: dict[SpeechFormat, tuple[str, str, str, str]] = {
    # media type, container, codec, sample format
    "pcm": ("audio/pcm", "s16le", "pcm_s16le", "s16"),
    "wav": ("audio/wav", "wav", "pcm_s16le", "s16"),
    "mp3": ("audio/mpeg", "mp3", "libmp3lame", "s16p"),
    "opus": ("audio/ogg", "ogg", "libopus", "s16"),
    "flac": ("audio/flac", "flac", "flac", "s16"),
    "aac": ("audio/aac", "adts", "aac", "fltp"),
}
_READABLE = "send WAV, MP3, Ogg, FLAC or WebM"


class UnreadableAudio(ValueError):
    """The audio cannot be decoded, or is longer than this server transcribes."""


def decode(data: bytes, *, max_seconds: float) -> NDArray[np.float32]:
    """Decode an audio file of any common format.

    Args:
        data: The file's bytes (WAV, MP3, Ogg, FLAC, WebM …).
        max_seconds: Longest audio to accept.

    Returns:
        Mono samples at 16 kHz, from -1 to 1, shape (samples,).

    Raises:
        UnreadableAudio: No audio can be decoded from `data`, or it is longer than `max_seconds`;
            no more than that was decoded.
    """
    resampler = av.AudioResampler(format="s16", layout="mono", rate=HEARING_RATE)
    pieces: list[NDArray[np.int16]] = []
    samples = 0
    try:
        with av.open(io.BytesIO(data), mode="r", metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise UnreadableAudio(f"the file has no audio track; {_READABLE}")
            for frame in chain(container.decode(container.streams.audio[0]), [None]):
                if frame:
                    # Its own clock may have gaps; the resampler would fill or drop samples by it.
                    frame.pts = None
                for piece in _arrays(resampler.resample(frame)):
                    pieces.append(piece)
                    samples += len(piece)
                if samples > max_seconds * HEARING_RATE:
                    raise UnreadableAudio(
                        f"longer than {max_seconds:g} s, the longest that "
                        "EVERLINE_MODELS_MAX_AUDIO_SECONDS allows"
                    )
    except (av.error.FFmpegError, EOFError) as error:
        raise UnreadableAudio(f"not an audio file that can be decoded; {_READABLE}") from error
    if samples == 0:
        raise UnreadableAudio("the file holds no samples")
    return np.concatenate(pieces).astype(np.float32) / np.float32(32768)


def deliver(pieces: Iterable[NDArray[np.int16]], rate: int, speed: float) -> Iterator[bytes]:
    """Bring a voice to 24 kHz and to a pace, piece by piece, without clicks at the seams.

    The voice's own pace control rounds each sound up, so that twice the speed came out as one and a
    half; this one stretches the finished sound and keeps its pitch.

    Args:
        pieces: The voice's samples, each of shape (samples,).
        rate: Samples per second of the voice.
        speed: 1 leaves the pace as it is, 2 is twice as fast; 0.25 to 4.

    Yields:
        16-bit little-endian PCM.
    """
    # PyAV's types know neither a filter's arguments nor what a sink gives.
    graph = cast(Any, av.filter.Graph())
    clock = Fraction(1, rate)
    # The filter takes factors from 0.5 to 100.
    factors = [] if speed == 1.0 else [speed] if speed >= 0.5 else [0.5, speed / 0.5]
    graph.link_nodes(
        graph.add_abuffer(sample_rate=rate, format="s16", layout="mono", time_base=clock),
        *(graph.add("atempo", f"{factor:g}") for factor in factors),
        graph.add("aresample", str(SPEAKING_RATE)),
        graph.add("aformat", "sample_fmts=s16:channel_layouts=mono"),
        graph.add("abuffersink"),
    ).configure()
    taken = 0
    for samples in pieces:
        frame = _frame(samples, rate)
        frame.time_base, frame.pts = clock, taken
        taken += len(samples)
        graph.push(frame)
        yield _filtered(graph)
    graph.push(None)
    yield _filtered(graph)


def encode(pcm: bytes, target: SpeechFormat) -> bytes:
    """Wrap 16-bit mono PCM at 24 kHz as a file of the format `target`."""
    _, name, codec, sample_format = FORMATS[target]
    out = io.BytesIO()
    # Bit-exact: the file does not name its encoder, so that a WAV header has its usual 44 bytes.
    with av.open(out, mode="w", format=name, options={"fflags": "+bitexact"}) as container:
        # PyAV's types know neither a codec name in a variable nor what a packet holds.
        writer = cast(Any, container)
        stream = writer.add_stream(codec, SPEAKING_RATE, layout="mono", format=sample_format)
        writer.mux(stream.encode(_frame(np.frombuffer(pcm, "<i2"), SPEAKING_RATE)))
        writer.mux(stream.encode(None))
    return out.getvalue()


def _frame(samples: NDArray[np.int16], rate: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
    frame.sample_rate = rate
    return frame


def _arrays(frames: list[av.AudioFrame]) -> Iterator[NDArray[np.int16]]:
    for frame in frames:
        yield cast(NDArray[np.int16], frame.to_ndarray()[0])


def _filtered(graph: Any) -> bytes:
    frames: list[av.AudioFrame] = []
    # The sink says that it has no more for now, or for good, by raising.
    with suppress(BlockingIOError, EOFError):
        while True:
            frames.append(graph.pull())
    return b"".join(piece.astype("<i2").tobytes() for piece in _arrays(frames))
