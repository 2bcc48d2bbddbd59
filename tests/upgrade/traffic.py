"""Short calls, one after the other, for as long as they are wanted."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

from domain.sessions.session import SessionStatus
from tests.harness.rig import Rig

LIMITS = {"join_attempts": 6.0, "join_backoff": 1.0}
START_SECONDS = 90.0
"""How long a start is tried again while the API moves."""


class Traffic:
    """Calls of callers who come, say a line, and hang up."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.ended: list[SessionStatus] = []
        self._numbers = count(1)
        self._wanted = asyncio.Event()

    @asynccontextmanager
    async def flowing(self) -> AsyncGenerator[None]:
        """Calls come and go while the block runs; it is left when the last has closed."""
        self._wanted.set()
        calls = asyncio.create_task(self._call_again_and_again())
        try:
            yield
        finally:
            self._wanted.clear()
            await calls

    async def _call_again_and_again(self) -> None:
        while self._wanted.is_set():
            await self._call()

    async def _call(self) -> None:
        name = f"traffic-{next(self._numbers)}"
        client = self.rig.client
        started = await client.start_at_last(name, START_SECONDS, wait="accepted", limits=LIMITS)
        async with self.rig.joined(started) as call:
            await client.until(call.session_id, START_SECONDS, agent_joined=True)
            await call.until_heard()
            await call.until_present()
            await call.type("My name is Anna.", expect="Anna")
            await client.until_turns(call.session_id, 2)
        self.ended.append(await client.closed(call.session_id, 120))
