"""Loads the models once, in threads, and gives the routes access to them."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from fastapi import Request

from stack.models.errors import still_loading
from stack.models.lane import Lane
from stack.models.settings import ModelsSettings

if TYPE_CHECKING:
    from stack.models.transcriber import Transcriber
    from stack.models.voice import Voice

_log = logging.getLogger("everline.models")
Model = TypeVar("Model")


@dataclass(frozen=True)
class Loaded(Generic[Model]):
    """A model and the lane that limits its work."""

    model: Model
    lane: Lane


@dataclass(frozen=True)
class Models:
    """Everything this process serves."""

    settings: ModelsSettings
    transcriber: Loaded[Transcriber]
    voice: Loaded[Voice]

    def close(self) -> None:
        """Stop the work of all lanes."""
        self.transcriber.lane.close()
        self.voice.lane.close()


async def load(settings: ModelsSettings) -> Models:
    """Load transcriber and voice in parallel.

    Raises:
        ModelNotFound: The configured Whisper model is not on this machine.
    """
    started = time.monotonic()
    transcriber, voice = await asyncio.gather(
        asyncio.to_thread(_load_transcriber, settings), asyncio.to_thread(_load_voice, settings)
    )
    _log.info(
        "loaded %s and %s in %.1f s", transcriber.name, voice.name, time.monotonic() - started
    )
    return Models(
        settings=settings,
        transcriber=Loaded(transcriber, _lane("transcriptions", settings)),
        voice=Loaded(voice, _lane("speech", settings)),
    )


def _lane(name: str, settings: ModelsSettings) -> Lane:
    return Lane(name, running=settings.concurrency, waiting=settings.queue_limit)


# These imports take half of the start-up time; in threads, /health answers meanwhile.
def _load_transcriber(settings: ModelsSettings) -> Transcriber:
    from stack.models.transcriber import Transcriber

    return Transcriber(
        settings.whisper_model, threads=settings.threads, parallel=settings.concurrency
    )


def _load_voice(settings: ModelsSettings) -> Voice:
    from stack.models.voice import Voice

    return Voice(settings.voice, threads=settings.threads)


def models_of(request: Request) -> Models:
    """The loaded models.

    Raises:
        ApiProblem: 503 while they are loading.
    """
    models = cast(Models | None, request.app.state.models)
    if models is None:
        raise still_loading()
    return models
