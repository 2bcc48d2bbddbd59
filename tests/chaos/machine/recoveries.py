"""How long it takes until calls can be served again after each fault."""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from services.agents.health import AgentHealth
from tests.harness.client import Client

LONGEST = 120.0
POLL_SECONDS = 0.2


@dataclass
class Recoveries:
    """Measures from the end of each fault until the API says that a call would get an agent."""

    client: Client
    seconds: defaultdict[str, list[float]] = field(
        default_factory=lambda: defaultdict[str, list[float]](list)
    )
    violations: list[str] = field(default_factory=list[str])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    def begin(self, kind: str) -> None:
        """A fault of this kind has just ended."""
        task = asyncio.create_task(self._measure(kind))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for everything that has not recovered yet."""
        await asyncio.gather(*self._tasks)

    async def _measure(self, kind: str) -> None:
        began, since = time.monotonic(), datetime.now(UTC)
        while not await self._served(since):
            if time.monotonic() - began > LONGEST:
                self.violations.append(f"no recovery within {LONGEST:g} s after: {kind}")
                return
            await asyncio.sleep(POLL_SECONDS)
        self.seconds[kind].append(time.monotonic() - began)

    async def _served(self, since: datetime) -> bool:
        """Whether LiveKit, Temporal and a worker answer, and an agent server was heard since."""
        try:
            answer = await self.client.http.get("/health/agent")
        except httpx.TransportError:
            return False
        if answer.headers.get("content-type") != "application/json":
            return False
        health = AgentHealth.model_validate(answer.json())
        heard = any(server.last_heartbeat > since for server in health.servers)
        return health.livekit.ok and health.temporal.ok and heard
