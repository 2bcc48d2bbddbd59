"""Calls that several requests need at the same time, made once for all of them."""

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
    """The calls that are running now, by what they are about."""

    def __init__(self) -> None:
        self._running: dict[Key, _Running[Result]] = {}

    async def run(self, key: Key, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Join the call of this key, or make it.

        A request that is cancelled leaves the call to the others; without any it is cancelled.

        Args:
            key: what the call is about; calls of the same key have to be equal.
            call: makes it.

        Returns:
            What the call returns. It raises what the call raises, for everybody who waits.
        """
        running = self._running.get(key)
        if running is None or running.task.done():
            # The call may outlive the request that makes it, so its logs must not name that one.
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
