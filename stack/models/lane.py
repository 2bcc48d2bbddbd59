"""A bounded lane for CPU-bound work: few calls run, few wait, the rest is told to come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from stack.models.errors import ApiProblem

P = ParamSpec("P")
T = TypeVar("T")


class Ticket:
    """One admitted request: it may run as many steps as it needs, one after the other."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor

    async def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `step` in a thread of the lane, after those that were there before."""
        loop = asyncio.get_running_loop()
        call: Awaitable[T] = loop.run_in_executor(self._executor, lambda: step(*args, **kwargs))
        return await call


class Lane:
    """Threads for one kind of model, with a bound on how many requests may be inside.

    Args:
        name: Shown in errors and thread names.
        running: Steps that run at the same time.
        waiting: Requests that may wait beyond those running.
    """

    def __init__(self, name: str, *, running: int, waiting: int) -> None:
        self._name = name
        self._limit = running + waiting
        self._inside = 0
        self._executor = ThreadPoolExecutor(max_workers=running, thread_name_prefix=name)

    @asynccontextmanager
    async def admit(self) -> AsyncGenerator[Ticket]:
        """Take a place in the lane for one request.

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
            yield Ticket(self._executor)
        finally:
            self._inside -= 1

    def close(self) -> None:
        """Stop taking work; steps that wait are dropped, a running one finishes."""
        self._executor.shutdown(wait=False, cancel_futures=True)
