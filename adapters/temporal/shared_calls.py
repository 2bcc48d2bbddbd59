"""Calls that concurrent requests share."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


@dataclass
class _Running(Generic[Result]):
    task: asyncio.Task[Result]
    waiters: int = 0


class SharedCalls(Generic[Key, Result]):
    """The running calls by key."""

    def __init__(self) -> None:
        self._running: dict[Key, _Running[Result]] = {}

    async def run(self, key: Key, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Join the running call of this key, or make it; all waiters get its result or error.

        A cancelled waiter leaves the call to the others; without waiters it is cancelled.
        """
        running = self._running.get(key)
        if running is None or running.task.done():
            # The call may outlive the request that started it, so its logs must not name that one.
            task = asyncio.create_task(call(), context=contextvars.Context())
            running = self._running[key] = _Running(task)
        running.waiters += 1
        try:
            return await asyncio.shield(running.task)
        finally:
            running.waiters -= 1
            if not running.waiters:
                running.task.cancel()
                if self._running.get(key) is running:
                    del self._running[key]
