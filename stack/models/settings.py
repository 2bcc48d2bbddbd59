"""Settings of the `models` process, read from `EVERLINE_MODELS_…` environment variables."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _default_threads() -> int:
    # tiny.en gains nothing beyond four threads, and the rest of the stack wants the other cores.
    return min(4, os.cpu_count() or 1)


class ModelsSettings(BaseSettings):
    """Where the `models` process listens, what it loads and how much it takes on at once."""

    model_config = SettingsConfigDict(env_prefix="EVERLINE_MODELS_", extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=4010, ge=1, le=65535, description="TCP port to listen on.")
    whisper_model: str = Field(
        default="",
        description="Folder of a CTranslate2 Whisper model, or the name of one in the local "
        "Hugging Face cache (e.g. base.en). Empty: the bundled tiny.en.",
    )
    voice: Path | None = Field(
        default=None,
        description="A piper voice (.onnx, with its .onnx.json beside it). "
        "Unset: the bundled en_US-joe-medium.",
    )
    threads: int = Field(
        default_factory=_default_threads, ge=1, le=64, description="CPU threads of one model call."
    )
    concurrency: int = Field(
        default=1, ge=1, le=64, description="Model calls running at once, per kind of model."
    )
    queue_limit: int = Field(
        default=8, ge=0, le=1000, description="Requests that may wait for a free model, per kind."
    )
    max_audio_seconds: float = Field(
        default=600, gt=0, le=7200, description="Longest audio that is transcribed, in seconds."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("voice")
    @classmethod
    def _voice_is_complete(cls, voice: Path | None) -> Path | None:
        if voice is None:
            return None
        for part in (voice, Path(f"{voice}.json")):
            if not part.is_file():
                raise ValueError(f"{part} does not exist; a piper voice is NAME.onnx + .onnx.json")
        return voice
