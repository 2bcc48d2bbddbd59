"""Recordings as numbers: who spoke when."""
# The types of PyAV's frames are open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import io

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

RATE = 48_000
WINDOW = RATE // 10
LOUD = 0.01
"""Root mean square of a tenth of a second in which somebody speaks; silence is exactly zero."""

Sound = npt.NDArray[np.float32]


def channels(ogg: bytes) -> tuple[Sound, Sound]:
    """Left and right of a stereo recording, as numbers from -1 to 1."""
    with av.open(io.BytesIO(ogg)) as container:
        assert isinstance(container, InputContainer)
        stream = container.streams.audio[0]
        assert (stream.layout.name, stream.rate) == ("stereo", RATE)
        blocks = [frame.to_ndarray().astype(np.float32) for frame in container.decode(stream)]
    both = np.concatenate(blocks, axis=1)
    return both[0], both[1]


def speech(channel: Sound) -> list[int]:
    """The tenths of a second in which there is sound."""
    whole = channel[: len(channel) // WINDOW * WINDOW].reshape(-1, WINDOW)
    loud = np.sqrt((whole**2).mean(axis=1)) > LOUD
    return [int(number) for number in np.flatnonzero(loud)]
