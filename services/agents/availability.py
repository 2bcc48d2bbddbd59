"""Whether a dispatch would find an agent: asked by starts, so it may not cost them anything."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from domain.agents.ports import AgentServers
from domain.errors import EverlineError
from services.agents.health import REMEMBERED, Check, agents_check
from services.sessions.webhook_receipts import LiveKitWebhooks

log = structlog.get_logger()

HOLDS = timedelta(seconds=1)
"""How long a good answer holds, so that many starts read the heartbeats once."""


class AgentAvailability:
    """Reads the heartbeats of agent servers, and when external agents have joined calls."""

    def __init__(self, servers: AgentServers, webhooks: LiveKitWebhooks, agent_name: str) -> None:
        self._servers = servers
        self._webhooks = webhooks
        self._agent_name = agent_name
        self._good: Check | None = None
        self._good_at = datetime.min.replace(tzinfo=UTC)

    async def check(self, within: float) -> Check | None:
        """Whether a dispatch would find an agent; None if that is not known in so many seconds."""
        now = datetime.now(UTC)
        if self._good and timedelta() <= now - self._good_at < HOLDS:
            return self._good
        try:
            async with asyncio.timeout(within):
                servers, receipts = await asyncio.gather(
                    self._servers.seen_since(now - REMEMBERED), self._webhooks.receipts()
                )
        except (EverlineError, TimeoutError) as problem:
            log.info("cannot tell which agents there are", reason=str(problem) or "too slow")
            return None
        found = agents_check(servers, self._agent_name, now, receipts.external_agent_at)
        if found.ok:
            self._good, self._good_at = found, now
        return found
