"""Starts ask whether there is an agent: the answer is quick, and costs little."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from typing_extensions import override

from adapters.memory_agent_servers import MemoryAgentServers
from domain.agents.servers import AgentServer
from domain.errors import StorageUnavailable
from services.agents.availability import AgentAvailability
from services.sessions.webhook_receipts import LiveKitWebhooks
from tests.fakes.agent_servers import AgentServersThere

NAME = "talker"


class Counted(AgentServersThere):
    """Counts how often the heartbeats are read."""

    reads = 0

    @override
    async def seen_since(self, since: datetime) -> list[AgentServer]:
        self.reads += 1
        return await super().seen_since(since)


class Away(MemoryAgentServers):
    """MongoDB that does not answer, in one way or the other."""

    def __init__(self, how: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._how = how

    @override
    async def seen_since(self, since: datetime) -> list[AgentServer]:
        await self._how()
        return []


def available(servers: MemoryAgentServers) -> AgentAvailability:
    return AgentAvailability(servers, LiveKitWebhooks(), NAME)


async def test_many_starts_read_the_heartbeats_once() -> None:
    servers = Counted(NAME)
    asked = available(servers)
    found = [await asked.check(1) for _ in range(20)]
    assert all(check and check.ok for check in found)
    assert servers.reads == 1


async def test_an_absence_is_looked_at_again() -> None:
    servers = Counted("another")
    asked = available(servers)
    for _ in range(2):
        check = await asked.check(1)
        assert check
        assert not check.ok
    assert servers.reads == 2


async def test_what_is_not_known_is_not_told() -> None:
    async def refuse() -> None:
        raise StorageUnavailable("MongoDB is away")

    async def hang() -> None:
        await asyncio.Event().wait()

    for how in (refuse, hang):
        assert await available(Away(how)).check(0.05) is None
