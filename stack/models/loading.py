"""Loads the models once, and limits the requests that use them at the same time."""

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from fastapi import Depends, Request

from stack.models.errors import ApiProblem
from stack.models.settings import ModelsSettings

if TYPE_CHECKING:
    from stack.models.transcriber import Transcriber
    from stack.models.voice import Voice

_log = logging.getLogger("everline.models")
Model = TypeVar("Model")
T = TypeVar("T")


class Loaded(Generic[Model]):
    """A model with threads for its work; few requests run, few wait, and the others are refused.

    Its `name` appears in errors and thread names.
    """

    def __init__(self, name: str, model: Model, settings: ModelsSettings) -> None:
        self.model = model
        self._name = name
        self._limit = settings.concurrency + settings.queue_limit
        self._requests = 0
        self._executor = ThreadPoolExecutor(settings.concurrency, thread_name_prefix=name)

    @contextmanager
    def admit(self) -> Generator[None]:
        """Admit one request, which may `run` steps in the block, one after the other.

        Raises:
            ApiProblem: 503 when too many requests are running or waiting.
        """
        if self._requests >= self._limit:
            raise ApiProblem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self._name}: {self._requests} requests are running or waiting, and no more may "
                "(EVERLINE_MODELS_CONCURRENCY, EVERLINE_MODELS_QUEUE_LIMIT); try again",
                code="overloaded",
            )
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def run(self, step: Callable[[], T]) -> T:
        """Run a step in one of the threads, after the steps that came before."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, step)

    def close(self) -> None:
        """Accept no more work; drop waiting steps, and let a running one finish."""
        self._executor.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class Models:
    """Everything this process serves."""

    settings: ModelsSettings
    transcriber: "Loaded[Transcriber]"
    voice: "Loaded[Voice]"

    def close(self) -> None:
        """Stop all work."""
        self.transcriber.close()
        self.voice.close()


async def load(settings: ModelsSettings) -> Models:
    """Load transcriber and voice in parallel.

    Raises:
        ModelNotFound: The configured Whisper model is not on this machine.
    """

    # These imports take half of the start-up time; in threads, /health answers meanwhile.
    def load_transcriber() -> "Transcriber":
        from stack.models.transcriber import Transcriber

        return Transcriber(
            settings.whisper_model, threads=settings.threads, parallel=settings.concurrency
        )

    def load_voice() -> "Voice":
        from stack.models.voice import Voice

        return Voice(settings.voice, threads=settings.threads)

    started = time.monotonic()
    transcriber, voice = await asyncio.gather(
        asyncio.to_thread(load_transcriber), asyncio.to_thread(load_voice)
    )
    seconds = time.monotonic() - started
    _log.info("loaded %s and %s in %.1f s", transcriber.name, voice.name, seconds)
    return Models(
        settings,
        Loaded("transcriptions", transcriber, settings),
        Loaded("speech", voice, settings),
    )


def _models_of(request: Request) -> Models:
    models: Models | None = request.app.state.models
    if models is None:
        raise ApiProblem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the models are still loading; try again in a second",
            code="loading",
        )
    return models


LoadedModels = Annotated[Models, Depends(_models_of)]
"""The loaded models; a request that arrives before is answered with 503."""
