"""Limits CPU-bound work: few requests run, few wait, and the others are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from stack.models.errors import ApiProblem

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """Threads for one kind of model, with a limit on the requests that use them.

    Args:
        name: Appears in errors and thread names.
        running: Steps that run at the same time.
        waiting: Requests that may wait in addition to those running.
    """

    def __init__(self, name: str, *, running: int, waiting: int) -> None:
        self._name = name
        self._limit = running + waiting
        self._inside = 0
        self._executor = ThreadPoolExecutor(max_workers=running, thread_name_prefix=name)

    @contextmanager
    def admit(self) -> Generator[None]:
        """Admit one request, which may `run` steps in the block, one after the other.

        Raises:
            ApiProblem: 503 with Retry-After when the lane is full.
        """
        if self._inside >= self._limit:
            raise ApiProblem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self._name}: {self._inside} requests are running or waiting, and no more may "
                "(EVERLINE_MODELS_CONCURRENCY, EVERLINE_MODELS_QUEUE_LIMIT); try again",
                code="overloaded",
                retry_after=1,
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a step in one of the threads, after the steps that came before."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: step(*args, **kwargs))

    def close(self) -> None:
        """Accept no more work; drop waiting steps, and let a running one finish."""
        self._executor.shutdown(wait=False, cancel_futures=True)
